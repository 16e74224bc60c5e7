//! Making a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{Flat, PIECE, as_bytes, head};

/// A file being made beside the one whose place it is to take. Dropped, it leaves that one as it is.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    published: bool,
}

impl Draft {
    /// Begins with an empty temporary file, which only its owner may read. It has one name, so that killed processes
    /// leave at most one behind, and is locked: `None` while somebody else is making the same file.
    ///
    /// # Errors
    /// What the file system says; `InvalidInput` when something is at `path` that is not a regular file, which a
    /// rename would replace as well.
    pub fn begin(path: &Path) -> io::Result<Option<Self>> {
        replaceable(path)?;
        let partial = temporary(path);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        let file = options.open(&partial)?;
        if !file.metadata()?.is_file() {
            return Err(not_a_file());
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let draft = Self { path: path.to_owned(), partial, file, published: false };
        // Its last owner may have renamed it since it was opened here.
        if same_file(&draft.file, &draft.partial) {
            draft.file.set_len(0)?;
            return Ok(Some(draft));
        }
        draft.abandon();
        Ok(None)
    }

    /// Writes what the file is about, the body and the checksum.
    ///
    /// # Errors
    /// What the file system says, or `body`. The draft is of no use then.
    pub fn fill(
        &mut self,
        about: &[u8],
        body: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let out = BufWriter::with_capacity(PIECE, &self.file);
        let mut writer = Writer { out, hash: Xxh3::new(), later: Vec::new() };
        writer.values(&head(about)?)?;
        body(&mut writer)?;
        let Writer { mut out, mut hash, later } = writer;
        let length = (later.len() as u64).to_ne_bytes();
        hash.update(&length);
        out.write_all(&hash.digest128().to_le_bytes())?;
        if !later.is_empty() {
            out.write_all(&later)?;
            out.write_all(&xxh3_128(&later).to_le_bytes())?;
        }
        out.write_all(&length)?;
        out.flush()
    }

    /// Takes the place of the file. Call it where nobody else may, if it matters which of two comes last.
    ///
    /// # Errors
    /// What the file system says, and when the temporary file was taken away meanwhile.
    pub fn publish(mut self) -> io::Result<()> {
        replaceable(&self.path)?;
        fs::rename(&self.partial, &self.path)?;
        self.published = true;
        Ok(())
    }

    /// Leaves the temporary file to whoever has it now.
    fn abandon(mut self) {
        self.published = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is overwritten by the next draft.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// The temporary file beside `path`.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "there is something that is not a regular file")
}

fn replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(not_a_file()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn same_file(_: &File, path: &Path) -> bool {
    path.exists() // an open file cannot be renamed there
}

/// Puts values into a body.
pub(crate) struct Writer<'a> {
    out: BufWriter<&'a File>,
    hash: Xxh3,
    later: Vec<u8>,
}

impl Writer<'_> {
    /// A number.
    pub fn number(&mut self, number: u64) -> io::Result<()> {
        self.values(&[number])
    }

    /// Values as they lie in memory, without their count.
    pub fn values<T: Flat>(&mut self, values: &[T]) -> io::Result<()> {
        for piece in as_bytes(values).chunks(PIECE) {
            self.hash.update(piece);
            self.out.write_all(piece)?;
        }
        Ok(())
    }

    /// Values with their count.
    pub fn list<T: Flat>(&mut self, values: &[T]) -> io::Result<()> {
        self.number(values.len() as u64)?;
        self.values(values)
    }

    /// As [`Self::list`], from an iterator: for structures, field by field as arrays of numbers.
    pub fn each<T: Flat>(&mut self, values: impl ExactSizeIterator<Item = T>) -> io::Result<()> {
        self.counted(values.len(), values)
    }

    /// As [`Self::each`], where the iterator does not tell that it gives `count` values.
    pub fn counted<T: Flat>(&mut self, count: usize, values: impl Iterator<Item = T>) -> io::Result<()> {
        self.number(count as u64)?;
        let mut piece = Vec::with_capacity(1_024);
        for value in values {
            piece.push(value);
            if piece.len() == piece.capacity() {
                self.values(&piece)?;
                piece.clear();
            }
        }
        self.values(&piece)
    }

    /// Bytes that are [read later](Reader::later), by themselves; there is one such part.
    pub fn later(&mut self, bytes: Vec<u8>) {
        self.later = bytes;
    }

    /// A text with its length.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.list(text.as_bytes())
    }
}
