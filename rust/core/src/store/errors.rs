//! From SQLite's errors to ours.

use std::ffi::c_int;
use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};

use crate::error::{Error, Result};

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        let extended = error.sqlite_error().map(|error| error.extended_code);
        let Some(code) = error.sqlite_error_code() else {
            // Not from SQLite but about a row: a column of an unexpected type is a damaged or foreign file.
            return match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => {
                    Self::StorageCorrupt(format!("a row cannot be read ({text})"))
                }
                _ => Self::Storage(text),
            };
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                Self::StorageTimeout(format!(
                    "somebody else held the lock of the file for longer than `timeout` ({text}); look for a long \
                     transaction of another process or thread, or pass a larger timeout"
                ))
            }
            ErrorCode::DiskFull => Self::StorageFull(full()),
            ErrorCode::SystemIoFailure if extended == Some(ffi::SQLITE_IOERR_WRITE) => {
                Self::StorageWrite(format!("writing failed ({text})"))
            }
            ErrorCode::SystemIoFailure => Self::StorageIo(format!(
                "reading or writing failed ({text}, {})",
                extended.unwrap_or_default()
            )),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                Self::StorageCorrupt(format!("the file is damaged ({text}); restore it from a backup"))
            }
            ErrorCode::ReadOnly => Self::Storage(format!(
                "the file or its folder, where the log goes, is read-only ({text}); make both writable, or copy the file to \
                 where they can be"
            )),
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                Self::Storage(format!("the file cannot be opened ({text}); check its permissions"))
            }
            _ => Self::Storage(text),
        }
    }
}

/// The reason of a failed system call.
fn blame(text: String, conn: Option<&Connection>, write: bool) -> Error {
    let errno = conn.map_or(0, system_errno);
    if errno == 0 {
        return if write { Error::StorageFull(full()) } else { Error::StorageIo(text) };
    }
    let reason = io::Error::from_raw_os_error(errno);
    match reason.kind() {
        ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded => {
            Error::StorageFull(full())
        }
        _ => Error::StorageIo(format!("{text}: {reason}")),
    }
}

fn full() -> String {
    "no space is left to write to; nothing of this write was kept, everything acknowledged before is safe; \
     free some space and try again"
        .to_owned()
}

/// Adds the path, and tells a full disk from other failures of the operating system: SQLite says "disk I/O
/// error" for a file that hit a size limit, and only its `errno` has the reason.
pub(super) fn refine(error: Error, conn: Option<&Connection>, path: &Path) -> Error {
    let error = match error {
        Error::StorageIo(text) => blame(text, conn, false),
        // A lost `errno` after a failed write: a device that fails says so, a limit is what does not.
        Error::StorageWrite(text) => blame(text, conn, true),
        other => other,
    };
    let at = |text: String| format!("{}: {text}", path.display());
    match error {
        Error::Storage(text) => Error::Storage(at(text)),
        Error::StorageIo(text) => Error::StorageIo(at(text)),
        Error::StorageFull(text) => Error::StorageFull(at(text)),
        Error::StorageCorrupt(text) => Error::StorageCorrupt(at(text)),
        Error::StorageTimeout(text) => Error::StorageTimeout(at(text)),
        other => other,
    }
}

/// Refuses to go on where the path of `conn` names another file than the one it writes, or none: what would be
/// acknowledged then is nowhere that anybody looks. One `stat`; where the system cannot tell, it goes on.
pub(super) fn in_place(conn: &Connection) -> Result<()> {
    let mut moved: c_int = 0;
    // SAFETY: the handle belongs to `conn`, which is borrowed and open for the length of the call; the operation writes
    // one int to the pointer, which is one to a live int.
    let code = unsafe {
        ffi::sqlite3_file_control(
            conn.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_HAS_MOVED,
            (&raw mut moved).cast(),
        )
    };
    if code == ffi::SQLITE_OK && moved != 0 {
        return Err(Error::Storage(
            "the file was removed, renamed or replaced while it was open; nothing was written. Close this store, and \
             open the file that is meant"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The `errno` of the last failed system call of `conn`.
fn system_errno(conn: &Connection) -> i32 {
    // SAFETY: the handle belongs to `conn`, which is borrowed and open for the length of the call, and
    // sqlite3_system_errno only reads a field of it.
    unsafe { ffi::sqlite3_system_errno(conn.handle()) }
}
