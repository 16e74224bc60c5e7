//! The index of a user as a file beside the database, so that the next process need not make it again.
//!
//! The database is the truth, and says which file to believe: a token in its `meta` names the one file that was made of
//! this very database, at or before its present state. So the file of another database, of a state that a restored backup
//! has undone, of another embedder or version is passed by, and a file that is missing costs what it saved.
//!
//! A file holds words of conversations. Two rules keep those of deleted ones out of it once [`Conversations::purge`] has
//! returned: nothing is written of an index that is behind the database, which is looked up when the temporary file is
//! there for `purge` to find, and once more in the transaction that names it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::Conversations;
use crate::error::Result;
use crate::recall::ConversationIndex;
use crate::recall::keep::VERSION;
use crate::snapshot::{self, Draft};
use crate::store::make_folder;

const PREFIX: &str = "conversations-";

impl Conversations {
    /// Takes the user's index from its file, in place of `index`; returns the user's row and the generation that it shows.
    /// `None`, with `index` as it was, where there is no file to be believed. Linear in the file.
    pub fn restore(&self, user_id: &str, model: &str, index: &mut ConversationIndex) -> Option<(i64, i64)> {
        let folder = self.db.index_folder()?;
        let (user, newest, token) = self.db.read(|conn| named(conn, user_id)).ok()??;
        let about = about(user, &token, model, index);
        let shown = snapshot::load(&file(&folder, user), &about, |from| {
            // What is taken out goes into `index` at once, and is relied upon.
            if !from.is_sound() {
                return None;
            }
            let shown = i64::try_from(from.number()?).ok()?;
            index.load(from)?;
            Some(shown)
        })?;
        (shown <= newest).then_some((user, shown))
    }

    /// Puts `index`, which shows `mark` (the user's row and generation), into the user's file. False where that could not be
    /// done, or the user's conversations have changed since: then the next process makes it again. Linear in its size.
    pub fn keep(&self, user_id: &str, model: &str, mark: (i64, i64), index: &ConversationIndex) -> bool {
        let Some(folder) = self.db.index_folder() else { return false };
        self.write(&folder, user_id, model, mark, index).unwrap_or(false)
    }

    fn write(
        &self,
        folder: &Path,
        user_id: &str,
        model: &str,
        (user, shown): (i64, i64),
        index: &ConversationIndex,
    ) -> io::Result<bool> {
        make_folder(folder)?;
        let Some(mut draft) = Draft::begin(&file(folder, user))? else { return Ok(false) };
        let current = |conn: &Connection| -> Result<bool> {
            Ok(conn
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM conversation_users WHERE ref = ? AND user_id = ? AND gen = ?)",
                )?
                .query_row(params![user, user_id, shown], |row| row.get(0))?)
        };
        let asked = self.db.read(|conn| {
            let token: String = conn.query_row("SELECT hex(randomblob(16))", [], |row| row.get(0))?;
            Ok(current(conn)?.then_some(token))
        });
        let Ok(Some(token)) = asked else { return Ok(false) };
        draft.fill(&about(user, &token, model, index), |out| {
            out.number(shown.unsigned_abs())?;
            index.save(out)
        })?;
        let named = self.db.write_now(|tx| {
            if !current(tx)? {
                return Ok(false);
            }
            tx.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", params![key(user), token])?;
            Ok(draft.publish().is_ok())
        });
        Ok(matches!(named, Ok(Some(true))))
    }

    /// Removes a user's file, where there is one.
    pub(super) fn forget(&self, user: i64) {
        if let Some(folder) = self.db.index_folder() {
            let file = file(&folder, user);
            let _ = fs::remove_file(snapshot::temporary(&file));
            let _ = fs::remove_file(file);
        }
    }
}

/// The user's row and generation, and the token of their file.
fn named(conn: &Connection, user_id: &str) -> Result<Option<(i64, i64, String)>> {
    Ok(conn
        .prepare_cached(
            "SELECT u.ref, u.gen, m.value FROM conversation_users u JOIN meta m ON m.key = 'conversations.index.' || u.ref
             WHERE u.user_id = ?",
        )?
        .query_row([user_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?)
}

/// Where the token of a user's file is in `meta`.
pub(super) fn key(user: i64) -> String {
    format!("conversations.index.{user}")
}

fn file(folder: &Path, user: i64) -> PathBuf {
    folder.join(format!("{PREFIX}{user}"))
}

/// What a file has to be about to be believed.
fn about(user: i64, token: &str, model: &str, index: &ConversationIndex) -> Vec<u8> {
    let (size, overlap) = index.shape();
    let version = env!("CARGO_PKG_VERSION");
    format!("conversations {VERSION} of {version}, {user} {token}, chunks of {size} and {overlap}, {model}")
        .into_bytes()
}
