#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Draft, Reader, Writer, about, load, temporary};

/// What is made of a body that went through a file, and the hash of that.
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
fn what_is_read_later_has_a_checksum_of_its_own() {
    let folder = Folder::new("later");
    let path = folder.0.join("a");
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut draft = Draft::begin(&path).unwrap().unwrap();
    let body = |out: &mut Writer<'_>| {
        out.later(bytes.clone());
        out.number(5)
    };
    draft.fill(b"", body).unwrap();
    draft.publish().unwrap();
    let read = |reader: &mut Reader| Some((reader.number()?, reader.later()?));
    let (number, later) = load(&path, b"", read).unwrap();
    // It is that file's, whatever comes in its place.
    save(&path, b"", &[]);
    assert!(number == 5 && later.read().unwrap() == bytes);
    let mut draft = Draft::begin(&path).unwrap().unwrap();
    draft.fill(b"", body).unwrap();
    draft.publish().unwrap();
    let mut whole = fs::read(&path).unwrap();
    *whole.last_chunk_mut::<30>().unwrap().first_mut().unwrap() ^= 1;
    fs::write(&path, &whole).unwrap();
    assert!(load(&path, b"", read).unwrap().1.read().is_none());
    for at in [8_000_000, whole.len() - 1] {
        fs::write(&path, &whole[..at]).unwrap();
        assert!(load(&path, b"", read).is_none());
    }
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
