//! The schema: a numbered list of SQL files, applied in order inside one immediate transaction.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::wanted::hash_of;
use crate::error::{Error, Result};
use crate::validate::{parse, text_of};
use crate::vectors::pack;

/// Marks a file as ours (`PRAGMA application_id`): "AIMm" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4149_4d6d;

/// A step: statements, and what has to be computed after them.
type Step = (&'static str, fn(&Transaction<'_>) -> Result<()>);

/// Every step from an empty file to the newest schema; never edit one that was released, append.
const MIGRATIONS: &[Step] = &[
    (include_str!("sql/0001_items.sql"), nothing),
    (include_str!("sql/0002_sessions.sql"), nothing),
    (include_str!("sql/0003_conversations.sql"), nothing),
    (include_str!("sql/0004_writes.sql"), nothing),
    (include_str!("sql/0005_halves.sql"), halve),
    (include_str!("sql/0006_snapshots.sql"), nothing),
    (include_str!("sql/0007_messages.sql"), nothing),
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
    for (statements, compute) in MIGRATIONS.iter().skip(from.max(0) as usize) {
        tx.execute_batch(statements)?;
        compute(&tx)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", LATEST)?;
    tx.commit()?;
    Ok(())
}

fn nothing(_: &Transaction<'_>) -> Result<()> {
    Ok(())
}

/// Step 5: vectors of 32-bit floats become those of 16. One that is none is left out, as if its item had no text.
fn halve(tx: &Transaction<'_>) -> Result<()> {
    let mut read = tx.prepare(
        "SELECT item_id, vector, items.value FROM item_vectors_32 JOIN items ON items.id = item_id ORDER BY item_id",
    )?;
    let mut write = tx.prepare("INSERT INTO item_vectors (item_id, hash, vector) VALUES (?, ?, ?)")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let (id, floats, value): (i64, Vec<u8>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let hash = parse(&value).ok().map(|value| hash_of(&text_of(&value)));
        if let Some(packed) = pack(&floats) {
            write.execute(params![id, hash, packed])?;
        }
    }
    drop(rows);
    tx.execute_batch("DROP TABLE item_vectors_32")?;
    let mut read = tx.prepare("SELECT vector FROM conversation_vectors WHERE rowid = ?")?;
    let mut write = tx.prepare("UPDATE conversation_vectors SET vector = ? WHERE rowid = ?")?;
    let mut rows = tx.prepare("SELECT rowid FROM conversation_vectors")?;
    let rows: Vec<i64> = rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for row in rows {
        let floats: Vec<u8> = read.query_row([row], |found| found.get(0))?;
        if let Some(packed) = pack(&floats) {
            write.execute(params![packed, row])?;
        }
    }
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::vectors::unpack;

    fn schema(conn: &Connection) -> Vec<String> {
        let mut names =
            conn.prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY type, name").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    fn floats(vector: &[f32]) -> Vec<u8> {
        vector.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn halves(conn: &Connection, sql: &str) -> Vec<Vec<f32>> {
        let mut found = conn.prepare(sql).unwrap();
        let rows = found.query_map([], |row| Ok(unpack(&row.get::<_, Vec<u8>>(0)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn a_file_with_vectors_of_32_bits_becomes_one_with_16() {
        let mut old = Connection::open_in_memory().unwrap();
        for (statements, _) in MIGRATIONS.iter().take(4) {
            old.execute_batch(statements).unwrap();
        }
        old.execute_batch(
            "PRAGMA user_version = 4;
             INSERT INTO namespaces (path, gen) VALUES (x'00', 1);
             INSERT INTO items (id, ns_id, key, value, created_at, updated_at, version)
                 VALUES (1, 1, 'a', '{\"t\":\"one\"}', 1, 1, 1), (2, 1, 'b', '{\"n\":2}', 1, 1, 1),
                        (5, 1, 'c', '{\"t\":[\"two\",\"three\"]}', 1, 1, 1);",
        )
        .unwrap();
        for (id, vector) in [(1, [3.0, 4.0]), (5, [0.0, -2.0])] {
            old.execute("INSERT INTO item_vectors VALUES (?, ?, ?)", params![id, [7u8; 32], floats(&vector)])
                .unwrap();
        }
        for hash in 0..3u8 {
            let vector = floats(&[f32::from(hash), 0.0]);
            old.execute("INSERT INTO conversation_vectors VALUES (1, ?, ?)", params![[hash], vector])
                .unwrap();
        }
        migrate(&mut old).unwrap();
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh).unwrap();
        assert_eq!(schema(&old), schema(&fresh));
        assert_eq!(version(&old).unwrap(), LATEST);
        let read = halves(&old, "SELECT vector FROM item_vectors ORDER BY item_id");
        assert_eq!(read.len(), 2);
        for (found, wanted) in read.concat().iter().zip([0.6f32, 0.8, 0.0, -1.0]) {
            assert!((found - wanted).abs() < 5e-4, "{read:?}");
        }
        let mut hashes = old.prepare("SELECT item_id, hash FROM item_vectors ORDER BY item_id").unwrap();
        let hashes: Vec<(i64, i32)> = hashes
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert_eq!(hashes, [(1, hash_of("one")), (5, hash_of("two\nthree"))]);
        let read = halves(&old, "SELECT vector FROM conversation_vectors ORDER BY hash");
        assert_eq!(read, [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]);
    }

    #[test]
    fn a_file_with_messages_keeps_them_all() {
        let mut old = Connection::open_in_memory().unwrap();
        for (statements, _) in MIGRATIONS.iter().take(6) {
            old.execute_batch(statements).unwrap();
        }
        old.execute_batch("DROP TABLE item_vectors_32; PRAGMA user_version = 6").unwrap();
        let read = |conn: &Connection, sql: &str| -> Vec<(i64, i64, String)> {
            let mut found = conn.prepare(sql).unwrap();
            let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.collect::<rusqlite::Result<_>>().unwrap()
        };
        let inserts = [
            "INSERT INTO session_messages VALUES (?, ?, ?)",
            "INSERT INTO conversation_messages VALUES (?, ?, ?)",
        ];
        let tables = [
            "SELECT ref, position, message FROM session_messages ORDER BY ref, position",
            "SELECT ref, position, message FROM conversation_messages ORDER BY ref, position",
        ];
        for (sql, position) in inserts.into_iter().flat_map(|sql| [3, 0, 1, 2].map(|at| (sql, at))) {
            for reference in [2, 1] {
                let message = format!("{sql} {reference} {position}").repeat(100);
                old.execute(sql, params![reference, position, message]).unwrap();
            }
        }
        let before = tables.map(|sql| read(&old, sql));
        migrate(&mut old).unwrap();
        assert_eq!(tables.map(|sql| read(&old, sql)), before);
        assert!(before.iter().all(|rows| rows.len() == 8));
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh).unwrap();
        assert_eq!(schema(&old), schema(&fresh));
    }
}
