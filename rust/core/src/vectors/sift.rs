//! The first look at a table with codes: the rows that can be among the best, by the signs of all.

use std::cell::RefCell;

use super::ahead::Ahead;
use super::signs::{LANES, Look, PART};
use super::table::Table;
use crate::wide::wide;

/// Rows from which a first look is shorter than a scan over codes.
const LEAST: usize = 512;
/// Rows for each one that is wanted, at least.
const ROWS_FOR_ONE: usize = 16;
/// Blocks looked at together: their estimates stay in the first-level cache.
pub(super) const BLOCKS: usize = 4;
pub(super) const GROUP: usize = BLOCKS * LANES;

/// What a row is worth: `base` of its id (0 beyond the end) and `weight` times its cosine, together taken as 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Mix<'a> {
    /// What a cosine of 1 is worth.
    pub weight: f32,
    /// What each row is worth besides, by id: 0 or more.
    pub base: &'a [f32],
}

impl Mix<'_> {
    /// What the row of `id` is worth besides its cosine.
    pub fn base(&self, id: u64) -> f32 {
        usize::try_from(id).ok().and_then(|at| self.base.get(at)).copied().unwrap_or(0.0)
    }

    /// What the row of `id` is worth.
    pub fn total(&self, id: u64, cosine: f32) -> f32 {
        (self.base(id) + self.weight * cosine).clamp(0.0, 1.0)
    }
}

/// Kept from one look to the next.
#[derive(Default)]
struct Desk {
    look: Look,
    /// The question without what all rows have in common.
    across: Vec<f32>,
    /// The most that each row's score may be, and the largest of each [`PART`] of them.
    most: Vec<f32>,
    tops: Vec<f32>,
    sorted: Vec<f32>,
    parts: Vec<u32>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

impl Table {
    /// The slots of all rows that can be among the best `k`, in order: with them a few in a million that cannot.
    /// `None` where a look does not pay or leaves most of them. `turned` is the question as the rotation turns it; `kth`
    /// gives the score of the k-th best of some rows.
    pub(super) fn sift(
        &self,
        turned: &[f32],
        k: usize,
        mix: &Mix<'_>,
        ahead: Option<&Ahead>,
        kth: impl FnOnce(&[u32]) -> Option<f32>,
    ) -> Option<Vec<u32>> {
        let rows = self.len();
        if self.signs.is_none() || rows < LEAST || rows / ROWS_FOR_ONE < k {
            return None;
        }
        DESK.with_borrow_mut(|desk| {
            let Desk { look, across, most, tops, sorted, parts } = desk;
            let (most, tops) = match self.known(ahead, mix.weight) {
                Some(ahead) if mix.base.is_empty() => (&ahead.most, &ahead.tops),
                known => {
                    let padded = rows.next_multiple_of(LANES);
                    most.resize(padded, 0.0);
                    tops.resize(padded / PART, 0.0);
                    match known {
                        Some(ahead) => self.look_again(ahead, mix, (most, tops)),
                        None => self.look_at_all(turned, mix, (look, across), (most, tops)),
                    }
                    (&*most, &*tops)
                }
            };
            // Whatever rows the bar is taken from, it is not above that of all; that of the likely ones is close to it.
            // There are as many groups as are wanted.
            let wanted = k + k / 4 + 8;
            let likely = nth(tops, wanted.min(rows.div_ceil(PART)), sorted);
            let most = most.get(..rows)?;
            let bar = kth(&at_least(likely, (most, tops), 4 * wanted, parts))?;
            let left = at_least(bar, (most, tops), rows / 2, parts);
            (left.len() < rows / 2).then_some(left)
        })
    }

    /// Makes `look` ready for a question, or what is left of it without what all rows have in common; returns what a row
    /// is worth that has nothing but that.
    pub(super) fn look(&self, turned: &[f32], weight: f32, look: &mut Look, across: &mut Vec<f32>) -> f32 {
        let Some((rotation, _)) = &self.signs else { return 0.0 };
        let common = self.common.as_ref();
        let along = common.map_or(0.0, |common| weight * common.split(turned, across));
        let turned = if common.is_some() { across } else { turned };
        // SAFETY: the tables come from `Kernels::available`.
        unsafe { look.ask(rotation, turned, weight, self.kernels.signs.0) };
        along
    }

    fn look_at_all(
        &self,
        turned: &[f32],
        mix: &Mix<'_>,
        (look, across): (&mut Look, &mut Vec<f32>),
        (most, tops): (&mut [f32], &mut [f32]),
    ) {
        let Some((_, signs)) = &self.signs else { return };
        let along = self.look(turned, mix.weight, look, across);
        let (mut room, mut sums) = ([0.0; GROUP], [0.0; GROUP]);
        let mut first = 0;
        for (blocks, factors) in signs.runs(BLOCKS) {
            let bases = self.bases(mix, first, factors.len(), &mut room);
            let bases = self.with_common(along, first, bases, &mut sums);
            // Not every run has as many blocks.
            let found = (most.get_mut(first..), tops.get_mut(first / PART..));
            let found = (found.0.unwrap_or_default(), found.1.unwrap_or_default());
            // SAFETY: the kernel comes from `Kernels::available`.
            unsafe { (self.kernels.signs.1)(look, blocks, (factors, bases), found) };
            first += factors.len();
        }
    }

    /// [`Self::look_at_all`] where it was done before it was known what rows are worth besides their cosines.
    fn look_again(&self, ahead: &Ahead, mix: &Mix<'_>, (most, tops): (&mut [f32], &mut [f32])) {
        let mut room = [0.0; GROUP];
        let found = most.chunks_mut(GROUP).zip(tops.chunks_mut(GROUP / PART));
        for ((first, known), (most, tops)) in (0..).step_by(GROUP).zip(ahead.most.chunks(GROUP)).zip(found) {
            add(known, self.bases(mix, first, known.len(), &mut room), most, tops);
        }
    }

    /// What `count` rows from slot `first` on are worth besides their cosines; `room` where they do not lie together.
    fn bases<'a>(&self, mix: &Mix<'a>, first: usize, count: usize, room: &'a mut [f32; GROUP]) -> &'a [f32] {
        if mix.base.is_empty() {
            return room;
        }
        if self.straight
            && let Some(bases) = mix.base.get(first..first + count)
        {
            return bases;
        }
        let ids = self.ids.get(first..).unwrap_or_default();
        for (place, id) in room.iter_mut().zip(ids.iter().map(Some).chain(std::iter::repeat(None))) {
            *place = id.map_or(0.0, |id| mix.base(*id));
        }
        room
    }

    /// `bases` of the rows from slot `first` on, or zeros, with what these rows are worth by what all have in common;
    /// `along` as [`Self::look`] has given it.
    pub(super) fn with_common<'a>(
        &self,
        along: f32,
        first: usize,
        bases: &'a [f32],
        sums: &'a mut [f32; GROUP],
    ) -> &'a [f32] {
        let Some(common) = &self.common else { return if bases.is_empty() { sums } else { bases } };
        sums.fill(0.0);
        sums.iter_mut().zip(bases).for_each(|(sum, base)| *sum = *base);
        sums.iter_mut().zip(common.from(first)).for_each(|(sum, cosine)| *sum += along * cosine);
        sums
    }
}

wide! {
    /// What rows are worth that are worth `known` without `base`; and the largest of each [`PART`].
    fn add(known: &[f32], base: &[f32], most: &mut [f32], tops: &mut [f32]) {
        let given = known.as_chunks::<PART>().0.iter().zip(base.as_chunks::<PART>().0);
        let found = most.as_chunks_mut::<PART>().0.iter_mut().zip(tops);
        for ((known, base), (most, top)) in given.zip(found) {
            let mut largest = 0u32;
            for ((known, base), most) in known.iter().zip(base).zip(most) {
                *most = known + base;
                // The bits of numbers that are not negative are in their order.
                largest = largest.max(most.to_bits());
            }
            *top = f32::from_bits(largest);
        }
    }
}

/// The `n`-th largest of `values`, of which there are so many; `room` to work in.
fn nth(values: &[f32], n: usize, room: &mut Vec<f32>) -> f32 {
    let largest_first = |a: &f32, b: &f32| b.total_cmp(a);
    // No less than so many of all is what is so among some of them: most need not be sorted at all.
    let some = values.get(..values.len() / 8).filter(|some| some.len() > n).unwrap_or(values);
    room.clear();
    room.extend_from_slice(some);
    let select = |room: &mut Vec<f32>| *room.select_nth_unstable_by(n - 1, largest_first).1;
    let bar = select(room);
    if some.len() == values.len() {
        return bar;
    }
    room.clear();
    room.extend(values.iter().filter(|value| **value >= bar));
    select(room)
}

/// The first `count` slots whose `most` is no less than `bar`; `tops` are the largest of each [`PART`], `room` is to work
/// in.
fn at_least(bar: f32, (most, tops): (&[f32], &[f32]), count: usize, room: &mut Vec<u32>) -> Vec<u32> {
    // Which parts have one cannot be guessed: they are noted without a jump.
    room.resize(tops.len() + 1, 0);
    let mut noted = 0;
    for (part, top) in (0..).zip(tops) {
        if let Some(place) = room.get_mut(noted) {
            *place = part;
        }
        noted += usize::from(*top >= bar);
    }
    let (parts, rest) = most.as_chunks();
    let last = std::array::from_fn(|at| rest.get(at).copied().unwrap_or(f32::NEG_INFINITY));
    let mut slots = Vec::with_capacity(count.min(256).max(noted * 2));
    for part in room.iter().take(noted) {
        let mut hits = hits(parts.get(*part as usize).unwrap_or(&last), bar);
        while hits != 0 {
            slots.push(*part * PART as u32 + hits.trailing_zeros());
            hits &= hits - 1;
        }
        if slots.len() >= count {
            slots.truncate(count);
            break;
        }
    }
    slots
}

/// A bit for each that is no less than `bar`. Which are is as good as random: asked one by one, half of the guesses of
/// a processor would fail.
fn hits(most: &[f32; PART], bar: f32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_cmpge_ps, _mm_loadu_ps, _mm_movemask_ps, _mm_set1_ps};
        most.as_chunks::<4>().0.iter().rev().fold(0, |hits, four| {
            // SAFETY: four floats are 16 bytes; SSE2 is baseline on x86-64.
            let mask =
                unsafe { _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(four.as_ptr()), _mm_set1_ps(bar))) };
            hits << 4 | mask as u32
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    most.iter().rev().fold(0, |hits, most| hits << 1 | u32::from(*most >= bar))
}

#[cfg(test)]
mod tests;
