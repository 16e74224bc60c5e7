//! Giving the conversations to another embedder.

use super::write::{put_vectors, record};
use super::{Conversations, Row};
use crate::error::Result;

impl Conversations {
    /// Gives everything to `model` with these vectors, in one transaction. Returns false, having changed nothing,
    /// where a conversation came, changed or went since [`Self::pending`]: ask it again then.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn reembed(&self, model: &str, rows: &[Row]) -> Result<bool> {
        self.db.write_many(|tx| {
            let count: i64 = tx.query_row("SELECT count(*) FROM conversations", [], |row| row.get(0))?;
            let mut same = usize::try_from(count).is_ok_and(|count| count == rows.len());
            for (id, seq, _) in rows {
                same = same
                    && tx
                        .prepare_cached(
                            "SELECT EXISTS (SELECT 1 FROM conversations WHERE ref = ? AND seq = ?)",
                        )?
                        .query_row([id, seq], |row| row.get(0))?;
            }
            if !same {
                return Ok(false);
            }
            record(tx, model)?;
            tx.execute("DELETE FROM conversation_vectors", [])?;
            for (id, _, vectors) in rows {
                put_vectors(tx, *id, vectors)?;
            }
            // Every index has to read everything again.
            tx.execute("UPDATE conversations SET seq = seq + 1", [])?;
            tx.execute("UPDATE conversation_users SET gen = gen + 1", [])?;
            Ok(true)
        })
    }
}
