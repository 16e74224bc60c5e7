//! Files that hold what could be computed again: either whole, right and of the very thing that is asked for, or not
//! used at all.
//!
//! ```text
//! 0    magic, 8 bytes
//! 8    version of this layout, u32
//! 12   length of what it is about, u32
//! 16   what it is about (the caller's bytes: kind, version, token …)
//! …    the body
//! end  xxh3-128 of all before, 16 bytes
//! ```
//!
//! Numbers are in the machine's own order; a file from the other kind of machine is one of another version. The body
//! has no structure of its own: what was put in comes out in the same order.
//!
//! Writing is [`Draft::begin`], [`Draft::fill`], [`Draft::publish`]; reading is [`load`]. Nothing is synced: a file that
//! a power cut has torn is noticed as any other damage is. No reader ever sees a file that is being written, and a
//! draft that is dropped or whose process is killed has changed nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use xxhash_rust::xxh3::Xxh3;

const MAGIC: &[u8; 8] = b"AISNAP\r\n";
/// Of the frame; what a body consists of has a version of its own in what it is about.
const VERSION: u32 = 1;
const FIXED: usize = 16;
const SUM: usize = 16;
/// The most bytes to tell what a file is about.
const LONGEST: u32 = 4_096;
/// Bytes read or written at once: they stay in the second-level cache while they are hashed.
const PIECE: usize = 128 * 1024;

/// Values that are their bytes.
///
/// # Safety
/// Every pattern of bytes is a valid value, and a value has no padding.
pub(crate) unsafe trait Flat: Copy + Default {}

// SAFETY: plain numbers.
unsafe impl Flat for u8 {}
// SAFETY: plain numbers.
unsafe impl Flat for u32 {}
// SAFETY: plain numbers.
unsafe impl Flat for u64 {}
// SAFETY: plain numbers.
unsafe impl Flat for i64 {}
// SAFETY: plain numbers; a NaN is a value too.
unsafe impl Flat for f32 {}
// SAFETY: an array has no padding between its elements.
unsafe impl<T: Flat, const N: usize> Flat for [T; N] where [T; N]: Default {}

fn as_bytes<T: Flat>(values: &[T]) -> &[u8] {
    // SAFETY: the bytes of a slice of values without padding are initialised, and live as long as it is borrowed.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn as_bytes_mut<T: Flat>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes written are valid values.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

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
        let mut writer = Writer { out: BufWriter::with_capacity(PIECE, &self.file), hash: Xxh3::new() };
        writer.values(&head(about)?)?;
        body(&mut writer)?;
        let Writer { mut out, hash } = writer;
        out.write_all(&hash.digest128().to_le_bytes())?;
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

/// The bytes before the body.
fn head(about: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(about.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let mut head = Vec::with_capacity(FIXED + about.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_ne_bytes());
    head.extend_from_slice(&length.to_ne_bytes());
    head.extend_from_slice(about);
    Ok(head)
}

/// Puts values into a body.
pub(crate) struct Writer<'a> {
    out: BufWriter<&'a File>,
    hash: Xxh3,
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

    /// A text with its length.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.list(text.as_bytes())
    }
}

/// Takes values out of a body. `None`: there are not as many, or they are none of that kind.
#[derive(Debug)]
pub(crate) struct Reader {
    file: BufReader<File>,
    left: u64,
    /// Compares the checksum meanwhile.
    check: Check,
}

#[derive(Debug)]
enum Check {
    Running(JoinHandle<bool>),
    Done(bool),
}

/// What `body` makes of the file at `path`, if there is one, it is about `about`, and it is as it was written.
///
/// The checksum is compared by a thread while `body` runs, for reading is most of the work of both. So what `body` takes
/// out may be anything until [`Reader::is_sound`] has said that it is not, and nothing that `body` makes of an unsound
/// file is returned: it has to take flat values out with bounds, which never harms, and to ask before it does more.
pub(crate) fn load<T>(path: &Path, about: &[u8], body: impl FnOnce(&mut Reader) -> Option<T>) -> Option<T> {
    let (mut file, there, size) = begins(path)?;
    let start = (FIXED + about.len()) as u64;
    let left = size.checked_sub(SUM as u64 + start)?;
    if there != about {
        return None;
    }
    let check = start_check(&file, size - SUM as u64);
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut reader = Reader { file: BufReader::with_capacity(PIECE, file), left, check };
    let made = body(&mut reader);
    made.filter(|_| reader.is_sound())
}

/// Where a file can be read at two places at once and there is a thread to be had.
#[cfg(unix)]
fn start_check(file: &File, length: u64) -> Check {
    use std::os::unix::fs::FileExt;
    let Ok(other) = file.try_clone() else { return Check::Done(false) };
    let check = move || is_right(length, |to, at| other.read_exact_at(to, at));
    let thread = std::thread::Builder::new().name("ai-infra-checksum".to_owned());
    match thread.spawn(check) {
        Ok(running) => Check::Running(running),
        Err(_) => Check::Done(is_right(length, |to, at| file.read_exact_at(to, at))),
    }
}

#[cfg(not(unix))]
fn start_check(mut file: &File, length: u64) -> Check {
    Check::Done(is_right(length, |to, at| {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(to)
    }))
}

/// Whether the checksum behind the first `length` bytes is theirs.
fn is_right(length: u64, mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>) -> bool {
    let (mut hash, mut piece, mut at) = (Xxh3::new(), vec![0; PIECE], 0);
    while at < length {
        let part = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
        let Some(part) = piece.get_mut(..part) else { return false };
        if read(part, at).is_err() {
            return false;
        }
        hash.update(part);
        at += part.len() as u64;
    }
    let mut sum = [0; SUM];
    read(&mut sum, length).is_ok() && sum == hash.digest128().to_le_bytes()
}

/// What a file says that it is about, whole or not. Reads its beginning.
pub(crate) fn about(path: &Path) -> Option<Vec<u8>> {
    begins(path).map(|(_, about, _)| about)
}

fn begins(path: &Path) -> Option<(File, Vec<u8>, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = options.open(path).ok()?;
    let found = file.metadata().ok()?;
    let mut fixed = [0; FIXED];
    file.read_exact(&mut fixed).ok()?;
    let (start, length) = fixed.split_last_chunk::<4>()?;
    let length = u32::from_ne_bytes(*length);
    if !found.is_file() || length > LONGEST || start != head(&[]).ok()?.get(..start.len())? {
        return None;
    }
    let mut about = vec![0; length as usize];
    file.read_exact(&mut about).ok()?;
    Some((file, about, found.len()))
}

impl Reader {
    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = [0];
        self.values(&mut number)?;
        let [number] = number;
        Some(number)
    }

    /// A number that counts or addresses something.
    pub fn size(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    /// As many values as fit into `values`.
    pub fn values<T: Flat>(&mut self, values: &mut [T]) -> Option<()> {
        self.left = self.left.checked_sub(size_of_val(values) as u64)?;
        self.file.read_exact(as_bytes_mut(values)).ok()
    }

    /// Values with their count. Allocates no more than the file is long.
    pub fn list<T: Flat>(&mut self) -> Option<Vec<T>> {
        let count = self.size()?;
        if (count as u64).checked_mul(size_of::<T>() as u64)? > self.left {
            return None;
        }
        let mut values = vec![T::default(); count];
        self.values(&mut values)?;
        Some(values)
    }

    /// A text with its length.
    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.list()?).ok()
    }

    /// Whether the file is as it was written. Waits for the checksum.
    pub fn is_sound(&mut self) -> bool {
        let check = std::mem::replace(&mut self.check, Check::Done(false));
        let sound = match check {
            Check::Running(thread) => thread.join().unwrap_or(false),
            Check::Done(sound) => sound,
        };
        self.check = Check::Done(sound);
        sound
    }

    /// Whether all has been taken out.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }
}

/// What is made of a body that went through a file, and the hash of that.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) fn through_a_file<T>(
    body: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
    made: impl FnOnce(&mut Reader) -> Option<T>,
) -> (Option<T>, u64) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("ai-infra-body-{}-{number}", std::process::id()));
    let mut draft = Draft::begin(&path).unwrap().unwrap();
    draft.fill(b"", body).unwrap();
    draft.publish().unwrap();
    let hash = xxhash_rust::xxh3::xxh3_64(&fs::read(&path).unwrap());
    let made = load(&path, b"", made);
    fs::remove_file(&path).unwrap();
    (made, hash)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A folder of its own, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ai-infra-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn is_there(path: &Path, about: &[u8]) -> bool {
        load(path, about, |_| Some(())).is_some()
    }

    fn save(path: &Path, about: &[u8], values: &[u64]) {
        let mut draft = Draft::begin(path).unwrap().unwrap();
        draft
            .fill(about, |out| {
                out.number(7)?;
                out.list(values)?;
                out.each(values.iter().map(|value| [*value as u32, 1]))?;
                out.text("é")
            })
            .unwrap();
        draft.publish().unwrap();
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let folder = Folder::new("order");
        let path = folder.0.join("a");
        let values: Vec<u64> = (0..50_000).collect();
        save(&path, b"about", &values);
        let read = |reader: &mut Reader| {
            assert_eq!(reader.number(), Some(7));
            assert_eq!(reader.list::<u64>(), Some(values.clone()));
            let pairs: Vec<[u32; 2]> = reader.list().unwrap();
            assert!(pairs.iter().zip(&values).all(|(pair, value)| *pair == [*value as u32, 1]));
            assert!(!reader.is_done());
            assert_eq!(reader.text().as_deref(), Some("é"));
            assert!(reader.is_done() && reader.number().is_none() && reader.list::<u8>().is_none());
            Some(())
        };
        assert!(load(&path, b"about", read).is_some());
        assert!(!is_there(&path, b"abour") && !is_there(&path, b"abou"));
        assert_eq!(about(&path).as_deref(), Some(&b"about"[..]));
    }

    #[test]
    fn a_count_beyond_the_file_allocates_nothing() {
        let folder = Folder::new("count");
        let path = folder.0.join("a");
        let mut draft = Draft::begin(&path).unwrap().unwrap();
        draft.fill(b"", |out| out.values(&[u64::MAX, u64::MAX / 8, 2, 0xff])).unwrap();
        draft.publish().unwrap();
        for skipped in 0..3 {
            let read = |reader: &mut Reader| {
                (0..skipped).for_each(|_| assert!(reader.number().is_some()));
                Some(reader.list::<u64>())
            };
            assert_eq!(load(&path, b"", read), Some(None));
        }
        let read = |reader: &mut Reader| {
            reader.values(&mut [0_u64; 2]).unwrap();
            Some(reader.text())
        };
        assert_eq!(load(&path, b"", read), Some(None), "no UTF-8");
    }

    #[test]
    fn every_flipped_bit_and_cut_is_noticed() {
        let folder = Folder::new("flips");
        let (path, bad) = (folder.0.join("a"), folder.0.join("b"));
        save(&path, b"about", &[1, 2, 3]);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&bad, &flipped).unwrap();
            assert!(!is_there(&bad, b"about"), "bit {bit}");
        }
        for length in 0..whole.len() {
            fs::write(&bad, &whole[..length]).unwrap();
            assert!(!is_there(&bad, b"about"), "{length} bytes");
        }
        fs::write(&bad, [whole.as_slice(), b"\0"].concat()).unwrap();
        assert!(!is_there(&bad, b"about"));
        assert!(!is_there(&folder.0, b"about") && is_there(&path, b"about"));
    }

    #[test]
    fn one_at_a_time_and_a_dropped_draft_changes_nothing() {
        let folder = Folder::new("drafts");
        let path = folder.0.join("a");
        save(&path, b"one", &[1]);
        let mut first = Draft::begin(&path).unwrap().unwrap();
        assert!(Draft::begin(&path).unwrap().is_none());
        first.fill(b"two", |out| out.number(1)).unwrap();
        assert!(about(&path).as_deref() == Some(b"one"));
        drop(first);
        assert!(about(&path).as_deref() == Some(b"one") && !temporary(&path).exists());
        let taken = Draft::begin(&path).unwrap().unwrap();
        fs::remove_file(temporary(&path)).unwrap();
        assert!(taken.publish().is_err());
        // What a killed process has left is taken over.
        fs::write(temporary(&path), b"a rest that is longer than what comes").unwrap();
        save(&path, b"three", &[]);
        assert!(is_there(&path, b"three") && fs::read_dir(&folder.0).unwrap().count() == 1);
    }

    #[test]
    fn only_files_are_replaced_or_written_to() {
        let folder = Folder::new("files");
        fs::write(folder.0.join("target"), b"kept").unwrap();
        #[cfg(unix)]
        for name in ["link", "other.tmp"] {
            std::os::unix::fs::symlink(folder.0.join("target"), folder.0.join(name)).unwrap();
        }
        fs::create_dir(folder.0.join("folder")).unwrap();
        for name in ["link", "folder", "other", "missing/a"] {
            assert!(Draft::begin(&folder.0.join(name)).is_err(), "{name}");
        }
        assert!(fs::read(folder.0.join("target")).unwrap() == b"kept");
    }
}
