//! Indexes in files beside the database, each a [snapshot](crate::snapshot) that can be done without.
//!
//! The folder `<database>-index` holds one file for each large index of a namespace (and of a user's conversations).
//! What makes a file believable is a token: 16
//! random bytes that are written into the row of what is indexed, in the transaction in which the file gets its name,
//! and into the file. A row that has the token has come from the row of that moment, and the index was that row's or an
//! older one's: catching it up is right. So a database that was restored, copied, deleted or filled anew, or an index
//! that another process saved at the same time, is not mistaken: another token or none is in its place.
//!
//! After a purge no file holds what was deleted before. A purge counts `purges` up, then takes every file away. An
//! index knows the count under which it was read from the database, and is only saved under the same: a file is begun
//! before the count is looked at, so that a purge which is not seen there will find the file, and the count is looked
//! at again in the transaction that names it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::db::Db;
use crate::error::{Error, Result};
use crate::snapshot::{self, Draft, Reader, Writer};

/// What an index is of, as the name of its file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Namespace,
    /// The conversations of a user, which have rules of their own (`conversations/keep.rs`).
    Conversations,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Conversations => "conversations",
        }
    }

    /// What the file of row `id` has to hold in what it is about.
    fn token(self, conn: &Connection, id: i64) -> Result<Option<Vec<u8>>> {
        let sql = match self {
            Self::Namespace => "SELECT snapshot FROM namespaces WHERE id = ?",
            Self::Conversations => {
                "SELECT CAST(value AS BLOB) FROM meta WHERE key = 'conversations.index.' || ?"
            }
        };
        Ok(conn.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?.flatten())
    }
}

/// How often deleted content was purged: to be read with what an index is made of.
pub(crate) fn purges(conn: &Connection) -> Result<i64> {
    let held: Option<String> = conn
        .prepare_cached("SELECT value FROM meta WHERE key = 'purges'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(held.and_then(|count| count.parse().ok()).unwrap_or(0))
}

/// What a file is about. It begins with the token.
fn about(token: &[u8], ns_id: i64, version: &str) -> Vec<u8> {
    [token, format!("namespace {ns_id}, {version}").as_bytes()].concat()
}

/// A failure that costs a snapshot and nothing else.
fn lost(error: io::Error) -> Error {
    Error::Storage(format!("an index cannot be kept in a file: {error}"))
}

/// Between two tries to write while others do.
const PAUSE: Duration = Duration::from_millis(50);

impl Db {
    /// Where the files are; `None` in memory. Beside the database itself, also where it was opened through a symbolic
    /// link: there is one folder, or a purge under one name would leave what was saved under another.
    pub(crate) fn index_folder(&self) -> Option<PathBuf> {
        let path = self.path()?;
        let mut folder = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).into_os_string();
        folder.push("-index");
        Some(folder.into())
    }

    fn index_file(&self, ns_id: i64) -> Option<PathBuf> {
        Some(self.index_folder()?.join(format!("{}-{ns_id}", Kind::Namespace.name())))
    }

    /// Saves the index of a namespace, which was read from the database when it had been purged `count` times.
    /// `version` tells how `body` is to be read and what it depends on. `Some(true)` when it was saved, `None` when
    /// others wrote to the database at each of `tries` moments; otherwise it cannot be, another process is at it, or
    /// the namespace has gone. That never matters to anybody else.
    ///
    /// `body` runs outside of any transaction; what it reads must not come from a later state of the database than
    /// the one that is there when it returns.
    pub(super) fn save_index(
        &self,
        ns_id: i64,
        count: i64,
        version: &str,
        tries: usize,
        body: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
    ) -> Result<Option<bool>> {
        let (Some(folder), Some(path)) = (self.index_folder(), self.index_file(ns_id)) else {
            return Ok(Some(false));
        };
        make_folder(&folder).map_err(lost)?;
        let Some(mut draft) = Draft::begin(&path).map_err(lost)? else { return Ok(Some(false)) };
        let (token, now): (Vec<u8>, i64) = self.snapshot(|conn| {
            Ok((conn.query_row("SELECT randomblob(16)", [], |row| row.get(0))?, purges(conn)?))
        })?;
        if now != count {
            return Ok(Some(false));
        }
        draft.fill(&about(&token, ns_id, version), body).map_err(lost)?;
        let mut draft = Some(draft);
        for again in 0..tries {
            if again > 0 {
                thread::sleep(PAUSE);
            }
            let done = self.write_now(|tx| {
                let sql = "UPDATE namespaces SET snapshot = ? WHERE id = ?";
                let known = purges(tx)? == count && tx.execute(sql, params![token, ns_id])? == 1;
                if known && let Some(draft) = draft.take() {
                    draft.publish().map_err(lost)?;
                }
                Ok(known)
            })?;
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(None)
    }

    /// What `body` makes of the saved index of a namespace as `conn` sees it, if there is one that can be believed.
    pub(super) fn load_index<T>(
        &self,
        conn: &Connection,
        ns_id: i64,
        version: &str,
        body: impl FnOnce(&mut Reader) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(path) = self.index_file(ns_id) else { return Ok(None) };
        let Some(token) = Kind::Namespace.token(conn, ns_id)? else { return Ok(None) };
        Ok(snapshot::load(&path, &about(&token, ns_id, version), body))
    }

    /// Takes away the files of namespaces that are gone.
    pub(super) fn drop_indexes(&self, ns_ids: &[i64]) {
        for path in ns_ids.iter().filter_map(|ns_id| self.index_file(*ns_id)) {
            // One that stays is of no row, and the next opening takes it away.
            let _ = fs::remove_file(path);
        }
    }

    /// Removes every trace of what was deleted: the files of indexes go, the database is rewritten without free
    /// pages, its log cut to nothing.
    ///
    /// # Errors
    /// [`Error::StorageTimeout`] when another process keeps an old state open, and the storage errors.
    pub fn purge(&self) -> Result<()> {
        if let Some(folder) = self.index_folder() {
            self.write(|tx| {
                let next = (purges(tx)? + 1).to_string();
                tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('purges', ?)", [next])?;
                Ok(())
            })?;
            for file in files(&folder) {
                match fs::remove_file(&file.path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(Error::Storage(format!(
                            "{} cannot be removed: {error}",
                            file.path.display()
                        )));
                    }
                    _ => {}
                }
            }
            let _ = fs::remove_dir(&folder); // if nothing else is in it
        }
        self.alone(|conn| Ok(conn.execute_batch("VACUUM")?))?;
        self.truncate_log()
    }

    /// Takes away what killed processes and databases that were deleted or replaced have left.
    pub(super) fn tidy(&self) {
        let Some(folder) = self.index_folder() else { return };
        let files = files(&folder);
        if files.is_empty() {
            return;
        }
        let strange = |conn: &Connection, file: &Named| -> Result<bool> {
            let there = snapshot::about(&file.path).unwrap_or_default();
            let token = file.kind.token(conn, file.id)?.filter(|token| !token.is_empty());
            Ok(token.is_none_or(|token| !there.windows(token.len()).any(|part| part == token)))
        };
        for file in files {
            if file.partial {
                // Unless somebody is at it.
                drop(Draft::begin(&file.path.with_extension("")));
            } else if self.read(|conn| strange(conn, &file)).unwrap_or(false) {
                // Looked at again where nobody can be between naming a file and saying so; if others write, next time.
                let _ = self.write_now(|tx| {
                    if strange(tx, &file)? {
                        fs::remove_file(&file.path).map_err(lost)?;
                    }
                    Ok(())
                });
            }
        }
    }
}

/// A file of the folder whose name is one of ours.
struct Named {
    path: PathBuf,
    kind: Kind,
    id: i64,
    partial: bool,
}

fn files(folder: &Path) -> Vec<Named> {
    if !fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()) {
        return Vec::new();
    }
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = entries.filter_map(|entry| {
        let entry = entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))?;
        let name = entry.file_name();
        let name = name.to_str()?;
        let (whole, partial) = name.strip_suffix(".tmp").map_or((name, false), |whole| (whole, true));
        let (kind, id) = whole.split_once('-')?;
        let kind = [Kind::Namespace, Kind::Conversations].into_iter().find(|known| known.name() == kind)?;
        Some(Named { path: entry.path(), kind, id: id.parse().ok()?, partial })
    });
    named.collect()
}

/// Makes the folder, for its owner only. What is there already must be a folder and no link to one.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Err(_) if !fs::symlink_metadata(folder)?.is_dir() => Err(ErrorKind::NotADirectory.into()),
        _ => Ok(()),
    }
}
