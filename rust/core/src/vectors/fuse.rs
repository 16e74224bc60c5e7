//! Search by similarity together with something else that is known of some rows, as words are.

use super::ahead::{Ahead, Searching};
use super::index::VectorIndex;
use super::options::Search;
use super::scan::{Among, Query};
use super::sift::Mix;
use super::topk::Hit;
use super::worker::State;
use super::{encode, fork};
use crate::error::Result;

/// Raised rows scored before the bar is looked at again.
const FIRST: usize = 256;

/// A search for the rows with the largest `base(id) + weight · cosine`, taken as 0 to 1.
#[derive(Debug)]
pub struct Fusion<'a, N> {
    /// How many at most.
    pub k: usize,
    /// What a cosine of 1 is worth, and what a row is worth besides.
    pub mix: Mix<'a>,
    /// What was found of the same question before.
    pub ahead: Option<&'a Ahead>,
    /// The ids whose base is not 0, each once; without, it may be any.
    pub raised: Option<&'a [u32]>,
    /// What the row of an id is called in the result; of equal ones the lower name comes first.
    pub name: N,
    /// Scan, even where a graph would be faster.
    pub exact: bool,
}

impl VectorIndex {
    /// The best rows as `(name, score)`, best first. By way of a graph it is what the whole scan finds, as far as the
    /// graph knows the nearest rows: every row that the words could lift above the last one found is scored.
    ///
    /// # Errors
    /// `InvalidInput` if the query has the wrong size or a value that is not finite.
    pub fn fuse<N: Fn(u64) -> u64>(&self, query: &[f32], fusion: &Fusion<'_, N>) -> Result<Vec<(u64, f32)>> {
        encode::check(query, self.dimensions(), None)?;
        let _gate = fork::enter();
        let _searching = Searching::begin();
        let state = self.shared.read();
        let hits = state.table.ask(query, |query| self.fuse_in(&state, query, fusion));
        Ok(hits.into_iter().map(|hit| (hit.id, hit.score)).collect())
    }

    fn fuse_in<N: Fn(u64) -> u64>(&self, state: &State, query: &Query, fusion: &Fusion<'_, N>) -> Vec<Hit> {
        let table = &state.table;
        let mix = &fusion.mix;
        let scan =
            |among: Among<'_>| table.scan_by(query, fusion.k, among, (mix, fusion.ahead), &fusion.name);
        // More than asked for: a graph finds the first of many more surely than the last of few.
        let wanted =
            Search { exact: fusion.exact, ..Search::best(fusion.k.saturating_mul(2).saturating_add(40)) };
        let near = self.propose(state, query, &wanted, None);
        match near.as_deref() {
            Some(near @ [.., last]) if near.len() >= fusion.k => {
                let mut slots: Vec<u32> = near.iter().filter_map(|hit| table.slot(hit.id)).collect();
                let mut known: Vec<u64> = near.iter().map(|hit| hit.id).collect();
                known.sort_unstable();
                let mut hits = scan(Among::Slots(&slots));
                // No other row is nearer than the last of these: below the bar, words cannot lift it in.
                let bar = |hits: &[Hit]| hits.get(fusion.k - 1).map_or(0.0, |hit| hit.score);
                let least = mix.weight * last.score;
                let mut lifted: Vec<(f32, u32)> = Vec::new();
                let first_bar = bar(&hits);
                let mut lift = |id: u32, base: f32| {
                    let best = base + least;
                    if best >= first_bar && known.binary_search(&u64::from(id)).is_err() {
                        lifted.push((best, id));
                    }
                };
                match fusion.raised {
                    Some(raised) => raised.iter().for_each(|id| lift(*id, mix.base(u64::from(*id)))),
                    None => {
                        for (ids, bases) in (0..).step_by(16).zip(mix.base.chunks(16)) {
                            if bases.iter().fold(false, |any, base| any | (base + least >= first_bar)) {
                                (ids..)
                                    .zip(bases)
                                    .filter(|(_, base)| **base > 0.0)
                                    .for_each(|(id, base)| lift(id, *base));
                            }
                        }
                    }
                }
                if lifted.len() > 2 * FIRST {
                    lifted.select_nth_unstable_by(FIRST, |a, b| b.0.total_cmp(&a.0));
                }
                let (first, rest) = lifted.split_at(lifted.len().min(FIRST));
                for part in [first, rest] {
                    let bar = bar(&hits);
                    slots.clear();
                    let may = part.iter().filter(|(best, _)| *best >= bar);
                    slots.extend(may.filter_map(|(_, id)| table.slot(u64::from(*id))));
                    slots.sort_unstable(); // in memory order
                    hits.extend(scan(Among::Slots(&slots)));
                    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
                    hits.truncate(fusion.k);
                }
                hits
            }
            _ => scan(Among::All),
        }
    }
}
