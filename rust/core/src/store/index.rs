//! The search index of one namespace: words and vectors in memory, caught up from the database before a search.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::models::read_vector;
use crate::embed;
use crate::error::Result;
use crate::lexical::TextIndex;
use crate::validate::{parse, text_of};
use crate::vectors::{Filter, Options, Search, VectorIndex};

/// What the words of a text and its vector each give to a score.
const WORDS: f32 = 0.5;
const VECTOR: f32 = 0.5;

/// Namespaces up to this size are scanned whole: cutting the list of candidates gains nothing.
const SMALL: usize = 4_096;

/// The index of one namespace as it was at one generation.
#[derive(Debug, Default)]
pub(super) struct NamespaceIndex {
    ns_id: i64,
    generation: i64,
    ids: HashSet<u64>,
    text: TextIndex,
    vectors: Option<VectorIndex>,
}

impl NamespaceIndex {
    /// Whether the index shows the namespace `ns_id` at `generation`.
    pub fn is_at(&self, ns_id: i64, generation: i64) -> bool {
        self.ns_id == ns_id && self.generation == generation
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Reads what changed since its own generation, which costs the changes and, after a deletion, a pass over
    /// the ids. `local`: vectors are computed here; otherwise they are read.
    pub fn catch_up(
        &mut self,
        conn: &Connection,
        ns_id: i64,
        generation: i64,
        deleted: i64,
        local: bool,
    ) -> Result<()> {
        if self.ns_id != ns_id || self.generation > generation {
            *self = Self { ns_id, ..Self::default() };
        }
        if deleted > self.generation && !self.ids.is_empty() {
            self.drop_deleted(conn)?;
        }
        let mut statement = conn.prepare_cached(
            "SELECT items.id, items.value, item_vectors.vector FROM items
             LEFT JOIN item_vectors ON item_vectors.item_id = items.id
             WHERE items.ns_id = ? AND items.seq > ?",
        )?;
        let mut rows = statement.query(params![ns_id, self.generation])?;
        let mut computed = vec![0.0; if local { embed::dimensions() } else { 0 }];
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)?.unsigned_abs();
            let value: String = row.get(1)?;
            let text = text_of(&parse(&value)?);
            self.ids.insert(id);
            self.text.add(id, &text);
            if local {
                computed.fill(0.0);
                embed::embed_into(&text, &mut computed);
                self.put_vector(id, &computed)?;
            } else if let Some(bytes) = row.get::<_, Option<Vec<u8>>>(2)? {
                self.put_vector(id, &read_vector(&bytes))?;
            } else if let Some(vectors) = &self.vectors {
                vectors.remove(id);
            }
        }
        self.generation = generation;
        Ok(())
    }

    fn put_vector(&mut self, id: u64, vector: &[f32]) -> Result<()> {
        if self.vectors.as_ref().is_none_or(|vectors| vectors.dimensions() != vector.len()) {
            self.vectors = Some(VectorIndex::new(vector.len(), Options::default())?);
        }
        match &self.vectors {
            Some(vectors) => vectors.replace(id, vector),
            None => Ok(()),
        }
    }

    fn drop_deleted(&mut self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare_cached("SELECT id FROM items WHERE ns_id = ?")?;
        let mut there = HashSet::with_capacity(self.ids.len());
        let mut rows = statement.query([self.ns_id])?;
        while let Some(row) = rows.next()? {
            there.insert(row.get::<_, i64>(0)?.unsigned_abs());
        }
        for id in self.ids.difference(&there) {
            self.text.remove(*id);
            if let Some(vectors) = &self.vectors {
                vectors.remove(*id);
            }
        }
        self.ids.retain(|id| there.contains(id));
        Ok(())
    }

    /// The best items for which `accept` holds, at most `limit`, best first; equal ones by id. Every item has a
    /// score, so there are fewer only where fewer are accepted.
    ///
    /// A score is half what the words give (the share of the question that the text answers, lowered by up to a
    /// half where the BM25 score is below the best one's) and half the cosine of the vectors.
    pub fn rank(
        &self,
        question: &str,
        vector: &[f32],
        limit: usize,
        min_score: f32,
        mut accept: impl FnMut(i64, f32) -> Result<bool>,
    ) -> Result<()> {
        let words = self.words(question);
        let all = self.ids.len();
        let mut count = if all <= SMALL { all } else { limit.saturating_mul(10).clamp(200, all) };
        let mut asked = HashSet::new();
        let mut taken = 0;
        loop {
            let (ranked, floor) = self.fuse(&words, vector, count)?;
            for (id, score) in ranked {
                // Below the floor an item outside the candidates could be better.
                if taken >= limit || score < min_score || (count < all && score < floor) {
                    break;
                }
                if asked.insert(id) && accept(id.cast_signed(), score)? {
                    taken += 1;
                }
            }
            if taken >= limit || count >= all {
                return Ok(());
            }
            count = all;
        }
    }

    /// What the words give to each item that has one of them: 0 to 1.
    fn words(&self, question: &str) -> HashMap<u64, f32> {
        let hits = self.text.search(question, usize::MAX, None);
        let best = hits.iter().map(|hit| hit.score).fold(f32::MIN_POSITIVE, f32::max);
        hits.into_iter().map(|hit| (hit.key, hit.coverage * (0.5 + 0.5 * hit.score / best))).collect()
    }

    /// Candidates with their scores, best first, and the score that no other item exceeds.
    fn fuse(
        &self,
        words: &HashMap<u64, f32>,
        vector: &[f32],
        count: usize,
    ) -> Result<(Vec<(u64, f32)>, f32)> {
        let mut similar = HashMap::with_capacity(count);
        let mut floor = 0.0;
        if let Some(vectors) = self.vectors.as_ref().filter(|_| vector.iter().any(|value| *value != 0.0)) {
            let best = vectors.search(vector, Search::best(count))?;
            floor = VECTOR * best.last().map_or(0.0, |(_, cosine)| *cosine);
            similar.extend(best);
            let rest: Vec<u64> = words.keys().filter(|id| !similar.contains_key(id)).copied().collect();
            if !rest.is_empty() {
                let among = Search { filter: Filter::Ids(&rest), ..Search::best(rest.len()) };
                similar.extend(vectors.search(vector, among)?);
            }
        }
        let fused = |id: u64| {
            let words = words.get(&id).copied().unwrap_or(0.0);
            (WORDS * words + VECTOR * similar.get(&id).copied().unwrap_or(0.0)).clamp(0.0, 1.0)
        };
        let mut ranked: Vec<(u64, f32)> = if count >= self.ids.len() {
            self.ids.iter().map(|id| (*id, fused(*id))).collect()
        } else {
            similar
                .keys()
                .chain(words.keys().filter(|id| !similar.contains_key(id)))
                .map(|id| (*id, fused(*id)))
                .collect()
        };
        ranked.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok((ranked, floor))
    }
}
