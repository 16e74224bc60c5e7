//! One file, one name. SQLite keeps a file's log under the file's name, so that whoever writes under another name (a
//! hard link, or a mount of the file by itself) has another log, and the two destroy the file. Both are told apart from
//! their like, which share one log: a symbolic link, a mount of the folder.

use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::open::{same, with_suffix};
use crate::error::{Error, Result};

/// Looks before a refusal: who opens or closes the file at this moment may have no log yet, or no more.
const LOOKS: u32 = 40;
const BETWEEN: Duration = Duration::from_millis(25);

/// Refuses a file that this process has open under names with another log.
pub(super) fn here(path: &Path, known: &[PathBuf]) -> Result<()> {
    refuse_if(|| {
        let real = fs::canonicalize(path).ok()?;
        Some(known.iter().any(|name| {
            fs::canonicalize(name).is_ok_and(|name| {
                name != real
                    && log(&name).is_some_and(|theirs| log(&real).is_none_or(|ours| !same(&theirs, &ours)))
            })
        }))
    })
}

/// Refuses a file with a log that another process has open while there is no log under this name. To be called while
/// this process has no lock on the file: closing `file` takes them away.
pub(super) fn elsewhere(path: &Path, file: &File) -> Result<()> {
    refuse_if(|| {
        let real = fs::canonicalize(path).ok()?;
        Some(log(&real).is_none() && is_held(file))
    })
}

fn refuse_if(other: impl Fn() -> Option<bool>) -> Result<()> {
    for look in 0..LOOKS {
        if other() != Some(true) {
            return Ok(());
        }
        if look + 1 < LOOKS {
            thread::sleep(BETWEEN);
        }
    }
    Err(Error::Storage(
        "the file is open under another name (a hard link, a mount of the file by itself, or its name before it was \
         renamed); the log goes by the name, and two of them would destroy the file. Use one name, or mount the folder"
            .to_owned(),
    ))
}

fn log(path: &Path) -> Option<Metadata> {
    fs::metadata(with_suffix(path, "-wal")).ok()
}

/// Whether another process holds the lock that SQLite keeps on a file with a log for as long as it has it open.
#[cfg(unix)]
fn is_held(file: &File) -> bool {
    use std::os::fd::AsRawFd;

    /// Where SQLite's file format has the lock of its readers: behind the byte at 1 GB and the one after it.
    const FIRST: libc::off_t = 0x4000_0002;
    const LENGTH: libc::off_t = 510;
    // SAFETY: the struct is plain numbers, for which zeros are values.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = FIRST;
    lock.l_len = LENGTH;
    // SAFETY: the descriptor is open as long as `file` is, and F_GETLK writes nothing but the struct.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    asked == 0
        && lock.l_type != libc::F_UNLCK as libc::c_short
        && (lock.l_start, lock.l_len) == (FIRST, LENGTH)
}

#[cfg(not(unix))]
fn is_held(_: &File) -> bool {
    false
}
