//! The schema: a numbered list of SQL files, applied in order inside one immediate transaction.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Result};

/// Marks a file as ours (`PRAGMA application_id`): "AIMm" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4149_4d6d;

/// Every step from an empty file to the newest schema; never edit one that was released, append.
const MIGRATIONS: &[&str] = &[
    include_str!("sql/0001_items.sql"),
    include_str!("sql/0002_sessions.sql"),
    include_str!("sql/0003_conversations.sql"),
    include_str!("sql/0004_writes.sql"),
];

/// The schema this version writes (`PRAGMA user_version`).
pub(super) const LATEST: i32 = MIGRATIONS.len() as i32;

/// Brings `conn` to the newest schema. Safe when many processes do it at once: one wins, the others find it done.
pub(super) fn migrate(conn: &mut Connection) -> Result<()> {
    if version(conn)? == LATEST {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = version(&tx)?;
    if from > LATEST {
        return Err(newer(from));
    }
    for step in MIGRATIONS.iter().skip(from.max(0) as usize) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", LATEST)?;
    tx.commit()?;
    Ok(())
}

/// The schema version of the file.
pub(super) fn version(conn: &Connection) -> Result<i32> {
    Ok(conn.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// The refusal of a file from the future.
pub(super) fn newer(found: i32) -> Error {
    Error::StorageCorrupt(format!(
        "the file has schema {found}, and this version of ai-infra-memory knows schemas up to {LATEST}; \
         upgrade ai-infra-memory to open it"
    ))
}
