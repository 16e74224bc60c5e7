//! Everything that reads items.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::filter::Filter;
use super::items::{Item, Store, namespaces_in};
use super::namespace::Namespace;
use crate::error::Result;

/// Which items a listing returns.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Where; everywhere when there is none.
    pub namespace: Option<Namespace>,
    /// Also below.
    pub recursive: bool,
    /// Only values that satisfy it.
    pub filter: Option<Filter>,
    /// At most so many; all without.
    pub limit: Option<usize>,
    /// Leave out so many from the beginning.
    pub offset: usize,
}

impl Store {
    /// Reads items; `None` where there is none or it has expired.
    ///
    /// # Errors
    /// The storage errors.
    pub fn get(&self, keys: &[(Namespace, String)], now: i64) -> Result<Vec<Option<Item>>> {
        let all = |conn: &Connection| keys.iter().map(|(ns, key)| get_one(conn, ns, key, now)).collect();
        if keys.len() > 1 { self.db().snapshot(all) } else { self.db().read(all) }
    }

    /// The live items of a namespace in the order of namespace and key. The filter works before the limit.
    ///
    /// # Errors
    /// The storage errors.
    pub fn list(&self, what: &Listing, now: i64) -> Result<Vec<Item>> {
        let matcher = what.filter.as_ref().map(Filter::matcher).transpose()?;
        let limit = what.limit.unwrap_or(usize::MAX);
        self.db().snapshot(|conn| {
            let mut items = Vec::new();
            let mut skipped = 0;
            for (ns_id, path) in namespaces_in(conn, what.namespace.as_ref(), what.recursive)? {
                let path: Arc<[u8]> = path.into();
                let mut statement = conn.prepare_cached(
                    "SELECT key, value, created_at, updated_at, expires_at, version FROM items
                     WHERE ns_id = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key",
                )?;
                let mut rows = statement.query(params![ns_id, now])?;
                while items.len() < limit {
                    let Some(row) = rows.next()? else { break };
                    if let Some(matcher) = &matcher
                        && !matcher.accepts(text(row, 1)?)?
                    {
                        continue;
                    }
                    if skipped < what.offset {
                        skipped += 1;
                        continue;
                    }
                    items.push(item(row, Arc::clone(&path))?);
                }
            }
            Ok(items)
        })
    }

    /// How many live items a listing would return, limit and offset aside.
    ///
    /// # Errors
    /// The storage errors.
    pub fn count(&self, what: &Listing, now: i64) -> Result<usize> {
        let matcher = what.filter.as_ref().map(Filter::matcher).transpose()?;
        self.db().snapshot(|conn| {
            let mut count = 0;
            for (ns_id, _) in namespaces_in(conn, what.namespace.as_ref(), what.recursive)? {
                if let Some(matcher) = &matcher {
                    let mut statement = conn.prepare_cached(
                        "SELECT value FROM items WHERE ns_id = ? AND (expires_at IS NULL OR expires_at > ?)",
                    )?;
                    let mut rows = statement.query(params![ns_id, now])?;
                    while let Some(row) = rows.next()? {
                        count += usize::from(matcher.accepts(text(row, 0)?)?);
                    }
                } else {
                    let live: i64 = conn
                        .prepare_cached(
                            "SELECT count(*) FROM items WHERE ns_id = ? AND (expires_at IS NULL OR expires_at > ?)",
                        )?
                        .query_row(params![ns_id, now], |row| row.get(0))?;
                    count += usize::try_from(live).unwrap_or(0);
                }
            }
            Ok(count)
        })
    }

    /// The encoded namespaces with a live item, at and below `root` (everywhere without one), in their order.
    ///
    /// # Errors
    /// The storage errors.
    pub fn namespaces(&self, root: Option<&Namespace>, now: i64) -> Result<Vec<Vec<u8>>> {
        self.db().snapshot(|conn| {
            let mut live = Vec::new();
            for (ns_id, path) in namespaces_in(conn, root, true)? {
                let any = conn
                    .prepare_cached(
                        "SELECT 1 FROM items WHERE ns_id = ? AND (expires_at IS NULL OR expires_at > ?) LIMIT 1",
                    )?
                    .query_row(params![ns_id, now], |_| Ok(()))
                    .optional()?;
                if any.is_some() {
                    live.push(path);
                }
            }
            Ok(live)
        })
    }
}

fn get_one(conn: &Connection, namespace: &Namespace, key: &str, now: i64) -> Result<Option<Item>> {
    let mut statement = conn.prepare_cached(
        "SELECT key, value, created_at, updated_at, expires_at, version FROM items
         WHERE ns_id = (SELECT id FROM namespaces WHERE path = ?) AND key = ?
           AND (expires_at IS NULL OR expires_at > ?)",
    )?;
    let mut rows = statement.query(params![namespace.as_bytes(), key, now])?;
    match rows.next()? {
        Some(row) => Ok(Some(item(row, namespace.as_bytes().into())?)),
        None => Ok(None),
    }
}

pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| rusqlite::Error::from(error).into())
}

pub(super) fn item(row: &Row<'_>, namespace: Arc<[u8]>) -> Result<Item> {
    Ok(Item {
        namespace,
        key: row.get(0)?,
        value: row.get(1)?,
        created_at: row.get(2)?,
        updated_at: row.get(3)?,
        expires_at: row.get(4)?,
        version: row.get(5)?,
    })
}
