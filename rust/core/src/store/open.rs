//! Opening a file: what it is gets decided before anything is written to it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::migrate::{self, APPLICATION_ID, LATEST};
use super::{busy, checkpoint, errors, fork, names};
use crate::error::{Error, Result};

/// Files up to this size are checked whole when they are opened; larger ones where they are read.
const CHECKED_WHOLE: u64 = 1 << 20;

/// The absolute path a user's text names. A path that begins with `file:` is a path, not a URI.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(Error::Configuration(format!(
            "the path {path:?} is no file name; pass the path of a database file"
        )));
    }
    std::path::absolute(path)
        .map_err(|error| Error::Configuration(format!("the path {path:?} cannot be used: {error}")))
}

/// Refuses what is not ours to open, creates the file if there is none, brings it to the newest schema and to
/// write-ahead logging. The first opening of a file goes through here; later connections use [`connect`].
pub(super) fn first(path: &Path) -> Result<Connection> {
    let wal = with_suffix(path, "-wal");
    let had_log = fs::metadata(&wal).is_ok_and(|m| m.len() > 0);
    let opened = inspect(path).and_then(|()| connect_raw(path));
    let mut conn = opened.map_err(|error| errors::refine(error, None, path))?;
    match settle(&mut conn, path, had_log) {
        Ok(()) => Ok(conn),
        Err(error) => Err(errors::refine(error, Some(&conn), path)),
    }
}

fn settle(conn: &mut Connection, path: &Path, had_log: bool) -> Result<()> {
    // Until we know the file as ours, closing it must not write its log back into it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, had_log)?;
    verify(conn, path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    configure(conn)?;
    migrate::migrate(conn)?;
    write_ahead(conn)
}

/// One more connection to a file that [`first`] has accepted.
pub(super) fn connect(path: &Path) -> Result<Connection> {
    let conn = connect_raw(path).map_err(|error| errors::refine(error, None, path))?;
    configure(&conn).map_err(|error| errors::refine(error, Some(&conn), path))?;
    Ok(conn)
}

/// A database in memory: a copy of an empty one, which takes a tenth of the time that making the tables does. A
/// process that searches thousands of namespaces of another database opens as many.
pub(super) fn memory() -> Result<Connection> {
    static EMPTY: Mutex<Option<Connection>> = Mutex::new(None);
    let mut conn = Connection::open_in_memory_with_flags(flags())?;
    // Not waited for: in a forked child it may be locked for ever.
    if let Ok(mut empty) = EMPTY.try_lock() {
        if empty.is_none() {
            let mut first = Connection::open_in_memory_with_flags(flags())?;
            migrate::migrate(&mut first)?;
            *empty = Some(first);
        }
        if let Some(empty) = &*empty {
            Backup::new(empty, &mut conn)?.step(-1)?;
        }
    }
    configure(&conn)?;
    migrate::migrate(&mut conn)?;
    Ok(conn)
}

fn flags() -> OpenFlags {
    // Our own locks keep each connection to one thread at a time. No URI, no symbolic surprises.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn connect_raw(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, flags())?;
    conn.busy_handler(Some(busy::wait))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn configure(conn: &Connection) -> Result<()> {
    conn.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF; PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864;",
    )?;
    checkpoint::watch(conn);
    Ok(())
}

/// Looks at the path and the first bytes, with no database library involved.
fn inspect(path: &Path) -> Result<()> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return create(path),
        Err(error) => {
            return Err(Error::Storage(format!("the file cannot be opened: {error}")));
        }
    };
    if meta.is_dir() {
        return Err(Error::Configuration(format!(
            "{} is a directory; pass the path of a database file inside it",
            path.display()
        )));
    }
    if !meta.is_file() {
        return Err(Error::Configuration(format!("{} is not a regular file", path.display())));
    }
    if meta.permissions().readonly() {
        return Err(Error::Storage(
            "the file is read-only; make it writable, or copy it to where it can be".to_owned(),
        ));
    }
    let known = open_as(&meta);
    if !known.is_empty() {
        return names::here(path, &known); // accepted when it was opened first
    }
    let mut head = [0u8; 100];
    let mut read = 0;
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|error| denied(&error))?;
    while let Some(rest) = head.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Error::StorageIo(format!("the file cannot be read: {error}")));
            }
        }
    }
    match read {
        0 => Ok(()),
        100 if head.starts_with(b"SQLite format 3\0") => {
            let number = |at: usize| {
                head.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_be_bytes)
            };
            // Ours from the first byte on: the schema is committed before the file ever gets a write-ahead log.
            let (application, version) = (number(68), number(60));
            if application != APPLICATION_ID {
                return Err(foreign());
            }
            if version > LATEST {
                return Err(migrate::newer(version));
            }
            // Both are 2 in a file with a log.
            if head.get(18..20) == Some(&[2, 2]) { names::elsewhere(path, &file) } else { Ok(()) }
        }
        _ => Err(foreign()),
    }
}

fn denied(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Error::Storage(format!("the file is read-only or not yours ({error}); make it writable"))
        }
        _ => Error::Storage(format!("the file cannot be opened: {error}")),
    }
}

fn foreign() -> Error {
    Error::StorageCorrupt(
        "the file is not a database of ai-infra-memory, or its beginning is damaged; nothing was changed in it. \
         Pass another path, or restore it from a backup"
            .to_owned(),
    )
}

/// The names under which this process has a file open as a database. Such a file must not be opened and closed beside
/// SQLite: to close it, by whatever handle, takes away the locks that the process holds on it.
fn open_as(meta: &Metadata) -> Vec<PathBuf> {
    let mut names = fork::open_files();
    names.retain(|path| fs::metadata(path).is_ok_and(|known| same(&known, meta)));
    names
}

#[cfg(unix)]
pub(super) fn same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
pub(super) fn same(_: &Metadata, _: &Metadata) -> bool {
    false // where closing takes no locks away
}

/// Whether a file is a SQLite database, ours or another's. False where it cannot be read.
pub fn is_database(path: &Path) -> bool {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let Ok(meta) = fs::metadata(path) else {
        return false;
    };
    let starts = || {
        let mut head = [0u8; MAGIC.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *MAGIC
    };
    meta.is_file() && (!open_as(&meta).is_empty() || starts())
}

/// Makes an empty file that only its owner may read; SQLite gives its companions the same mode.
fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        // Another process was first, or there is a link to nothing.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match fs::read_link(path) {
            Ok(target) if fs::metadata(path).is_err() => Err(Error::Configuration(format!(
                "{} is a symbolic link, and {} is not there; open that path first, which makes the file",
                path.display(),
                target.display()
            ))),
            _ => Ok(()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::NotADirectory => Err(
            Error::Configuration(format!("the folder of {} does not exist; create it first", path.display())),
        ),
        Err(error) => Err(denied(&error)),
    }
}

/// What only SQLite can tell: a schema changed in the log, damage behind the header.
fn verify(conn: &Connection, path: &Path) -> Result<()> {
    let tx = conn.unchecked_transaction()?;
    let objects: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i32 = tx.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version = migrate::version(&tx)?;
    if objects == 0 && version == 0 {
        return Ok(());
    }
    if application != APPLICATION_ID {
        return Err(foreign());
    }
    if version > LATEST {
        return Err(migrate::newer(version));
    }
    if fs::metadata(path).is_ok_and(|m| m.len() <= CHECKED_WHOLE) {
        let verdict: String = tx.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Error::StorageCorrupt(format!(
                "the file is damaged ({verdict}); restore it from a backup"
            )));
        }
    }
    Ok(())
}

/// Switches to write-ahead logging. SQLite does not call the busy handler for this one, so we retry ourselves.
fn write_ahead(conn: &Connection) -> Result<()> {
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(Error::Storage(format!(
                    "the file system does not support write-ahead logging (SQLite stays in mode {mode:?}); \
                     use a local disk"
                )));
            }
            Err(error) => {
                let error = Error::from(error);
                if !matches!(error, Error::StorageTimeout(_)) || busy::over() {
                    return Err(error);
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
