//! Reading a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::thread::JoinHandle;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{FIXED, Flat, LONGEST, PIECE, SUM, as_bytes_mut, head};

/// Bytes from which memory is asked for in large pages.
#[cfg(target_os = "linux")]
const LARGE: usize = 4 << 20;

/// Takes values out of a body. `None`: there are not as many, or they are none of that kind.
#[derive(Debug)]
pub(crate) struct Reader {
    file: BufReader<File>,
    left: u64,
    /// Compares the checksum meanwhile.
    check: Check,
    later: Option<Later>,
}

#[derive(Debug)]
enum Check {
    Running(JoinHandle<bool>),
    Done(bool),
}

/// Bytes that are read when there is time, from the file as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Later {
    file: File,
    start: u64,
    length: usize,
}

impl Later {
    /// The bytes, if they are as they were written.
    pub fn read(self) -> Option<Vec<u8>> {
        if self.length == 0 {
            return Some(Vec::new());
        }
        let (mut bytes, mut sum) = (zeroed(self.length), [0; SUM]);
        read_at(&self.file, &mut bytes, self.start).ok()?;
        read_at(&self.file, &mut sum, self.start + self.length as u64).ok()?;
        (sum == xxh3_128(&bytes).to_le_bytes()).then_some(bytes)
    }
}

/// What `body` makes of the file at `path`, if there is one, it is about `about`, and it is as it was written.
///
/// The checksum is compared by a thread while `body` runs, for reading is most of the work of both. So what `body` takes
/// out may be anything until [`Reader::is_sound`] has said that it is not, and nothing that `body` makes of an unsound
/// file is returned: it has to take flat values out with bounds, which never harms, and to ask before it does more.
pub(crate) fn load<T>(path: &Path, about: &[u8], body: impl FnOnce(&mut Reader) -> Option<T>) -> Option<T> {
    let (mut file, there, size) = begins(path)?;
    if there != about {
        return None;
    }
    let start = (FIXED + about.len()) as u64;
    let mut length = [0; 8];
    file.seek(SeekFrom::Start(size.checked_sub(8)?)).ok()?;
    file.read_exact(&mut length).ok()?;
    let later = u64::from_ne_bytes(length);
    let behind = 8 + SUM as u64 + if later > 0 { SUM as u64 } else { 0 };
    let end = size.checked_sub(behind)?.checked_sub(later)?;
    let left = end.checked_sub(start)?;
    let other = again(&file, path)?;
    let check = move || is_right(&other, end, &length);
    let thread = std::thread::Builder::new().name("ai-infra-checksum".to_owned());
    let check = thread.spawn(check).map_or(Check::Done(false), Check::Running);
    let part = Later { file: again(&file, path)?, start: end + SUM as u64, length: later.try_into().ok()? };
    file.seek(SeekFrom::Start(start)).ok()?;
    let file = BufReader::with_capacity(PIECE, file);
    let mut reader = Reader { file, left, check, later: Some(part) };
    let made = body(&mut reader);
    made.filter(|_| reader.is_sound())
}

/// The same file, to be read by [`read_at`].
#[cfg(unix)]
fn again(file: &File, _: &Path) -> Option<File> {
    file.try_clone().ok()
}

#[cfg(unix)]
fn read_at(file: &File, to: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, to, at)
}

/// One that was put there meanwhile has another checksum.
#[cfg(not(unix))]
fn again(_: &File, path: &Path) -> Option<File> {
    File::open(path).ok()
}

#[cfg(not(unix))]
fn read_at(mut file: &File, to: &mut [u8], at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(to)
}

/// Zeros to be read into. Large ones in large pages: with small ones, making them takes as long as reading.
fn zeroed<T: Flat>(count: usize) -> Vec<T> {
    let mut values = vec![T::default(); count];
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4_096;
        let bytes = as_bytes_mut(&mut values);
        let skipped = bytes.as_ptr().align_offset(PAGE);
        if let Some(whole) = bytes.get_mut(skipped..).filter(|whole| whole.len() >= LARGE) {
            // SAFETY: a hint about pages of this vector; it changes no byte.
            unsafe {
                libc::madvise(whole.as_mut_ptr().cast(), whole.len() / PAGE * PAGE, libc::MADV_HUGEPAGE)
            };
        }
    }
    values
}

/// Whether the checksum behind the first `length` bytes is theirs and that of `last`.
fn is_right(file: &File, length: u64, last: &[u8]) -> bool {
    let (mut hash, mut piece, mut at) = (Xxh3::new(), vec![0; PIECE], 0);
    while at < length {
        let part = usize::try_from(length - at).unwrap_or(PIECE).min(PIECE);
        let Some(part) = piece.get_mut(..part) else { return false };
        if read_at(file, part, at).is_err() {
            return false;
        }
        hash.update(part);
        at += part.len() as u64;
    }
    hash.update(last);
    let mut sum = [0; SUM];
    read_at(file, &mut sum, length).is_ok() && sum == hash.digest128().to_le_bytes()
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
        let mut values = zeroed(count);
        self.values(&mut values)?;
        Some(values)
    }

    /// A text with its length.
    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.list()?).ok()
    }

    /// The part that is read later, once.
    pub fn later(&mut self) -> Option<Later> {
        self.later.take()
    }

    /// Whether the file is as it was written, what is read later aside. Waits for the checksum.
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
