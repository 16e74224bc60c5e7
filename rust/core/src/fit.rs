//! Where to cut a conversation so that what is left fits its budget.
//!
//! The planner is fed from the newest message backwards and stops asking as soon as the budget is
//! spent, so its work depends on the budget and not on the length of the history.
//!
//! A cut at `p` drops every message before `p` and keeps every one from `p` on. It is *legal* when no
//! group of messages that belong together (a tool call and its results) lies on both sides of it.
//! Legality is kept as a running minimum: each message knows the first index of its group, its *reach*,
//! and a cut at `p` is legal if no message from `p` on reaches below `p`.

/// One message, as the planner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What the message costs; 0 for one that is paid for elsewhere or never kept.
    pub tokens: u64,
    /// The first index of the group it belongs to; its own index when it stands alone.
    pub reach: usize,
}

/// How much of the end of a conversation to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Goal {
    /// The most that the kept messages may cost.
    pub budget: u64,
    /// When something has to go, cut down to somewhere between this and the budget, at the place that
    /// stays the same for the most turns to come. `None`: keep as much as fits.
    pub low_water: Option<u64>,
    /// Keep about this many messages, and fewer only where they do not fit. `None`: no such wish.
    pub keep: Option<usize>,
}

/// A cut, and what the part behind it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The index of the first message kept.
    pub index: usize,
    /// The tokens of the messages from there to the end.
    pub tokens: u64,
}

/// Gathers messages from the newest backwards and finds the cut.
#[derive(Debug, Clone)]
pub struct Planner {
    first: usize,
    next: usize,
    end: usize,
    budget: u64,
    spent: u64,
    /// Newest first.
    rows: Vec<Row>,
}

impl Planner {
    /// A planner for the messages `first..end`, of which at most `budget` tokens will be kept.
    pub fn new(first: usize, end: usize, budget: u64) -> Self {
        Self { first, next: end, end, budget, spent: 0, rows: Vec::new() }
    }

    /// Takes the next older message.
    pub fn push(&mut self, row: Row) {
        if self.next > self.first {
            self.next -= 1;
            self.spent = self.spent.saturating_add(row.tokens);
            self.rows.push(row);
        }
    }

    /// Whether an older message could still be kept.
    pub fn wants_more(&self) -> bool {
        self.next > self.first && self.spent <= self.budget
    }

    /// Whether every message was seen and all of them fit.
    pub fn all_fit(&self) -> bool {
        self.next == self.first && self.spent <= self.budget
    }

    /// The cut for `goal`. Cutting at the very end (keeping nothing) is always possible.
    ///
    /// With a low-water mark, the cut is the legal index with the most trailing zero bits between the
    /// two marks. As a conversation grows both marks move on, and such an index stays between them
    /// longer than its neighbours: the same messages stay at the front of the prompt for many turns,
    /// without anything being remembered between calls.
    pub fn cut(&self, goal: &Goal) -> Cut {
        let mut best = Cut { index: self.end, tokens: 0 };
        let mut wished = (goal.keep == Some(0)).then_some(best);
        let mut stable: Option<Cut> = None;
        let mut reach = self.end;
        let mut tokens = 0_u64;
        let mut index = self.end;
        let low_water = goal.low_water.unwrap_or(0).min(goal.budget);
        for row in &self.rows {
            index -= 1;
            tokens = tokens.saturating_add(row.tokens);
            if tokens > goal.budget {
                break;
            }
            reach = reach.min(row.reach);
            if reach < index {
                continue;
            }
            let cut = Cut { index, tokens };
            // Ties go to the lower index: it is the one that an earlier turn has chosen.
            if tokens >= low_water
                && stable.is_none_or(|s| index.trailing_zeros() >= s.index.trailing_zeros())
            {
                stable = Some(cut);
            }
            if wished.is_none() && goal.keep.is_some_and(|keep| self.end - index >= keep) {
                wished = Some(cut);
            }
            best = cut;
        }
        if self.all_fit() && tokens <= goal.budget && goal.keep.is_none() {
            return best;
        }
        if let Some(wished) = wished {
            return wished;
        }
        match goal.low_water {
            Some(_) => stable.unwrap_or(best),
            None => best,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planner(rows: &[(u64, usize)], first: usize, budget: u64) -> Planner {
        let mut planner = Planner::new(first, first + rows.len(), budget);
        for &(tokens, reach) in rows.iter().rev() {
            if !planner.wants_more() {
                break;
            }
            planner.push(Row { tokens, reach });
        }
        planner
    }

    fn goal(budget: u64) -> Goal {
        Goal { budget, low_water: None, keep: None }
    }

    #[test]
    fn keeps_what_fits_and_no_more() {
        let rows: Vec<_> = (0..10).map(|i| (10, i)).collect();
        let p = planner(&rows, 0, 35);
        assert!(!p.all_fit());
        assert_eq!(p.cut(&goal(35)), Cut { index: 7, tokens: 30 });
        assert_eq!(p.cut(&goal(9)), Cut { index: 10, tokens: 0 });
        let p = planner(&rows, 0, 100);
        assert!(p.all_fit());
        assert_eq!(p.cut(&goal(100)), Cut { index: 0, tokens: 100 });
    }

    #[test]
    fn never_cuts_through_a_group() {
        // 2 is a call, 3 and 4 its results
        let rows = [(10, 0), (10, 1), (10, 2), (10, 2), (10, 2), (10, 5)];
        let p = planner(&rows, 0, 35);
        assert_eq!(p.cut(&goal(35)), Cut { index: 5, tokens: 10 });
        let p = planner(&rows, 0, 40);
        assert_eq!(p.cut(&goal(40)), Cut { index: 2, tokens: 40 });
    }

    #[test]
    fn keep_takes_the_whole_group_and_yields_to_the_budget() {
        let rows = [(10, 0), (10, 1), (10, 2), (10, 2), (10, 4), (10, 5)];
        let p = planner(&rows, 0, 55);
        let want = |budget, keep| p.cut(&Goal { budget, low_water: None, keep: Some(keep) }).index;
        assert_eq!(want(55, 2), 4);
        assert_eq!(want(55, 3), 2);
        assert_eq!(want(30, 3), 4);
        assert_eq!(want(55, 0), 6);
    }

    #[test]
    fn a_low_water_mark_holds_the_cut_for_many_turns() {
        let mut moved = 0;
        let mut last = None;
        for n in 100..1100 {
            let rows: Vec<_> = (0..n).map(|i| (10, i)).collect();
            let p = planner(&rows, 0, 1000);
            let cut = p.cut(&Goal { budget: 1000, low_water: Some(500), keep: None });
            assert!(cut.tokens <= 1000);
            moved += usize::from(last.is_some_and(|l| l != cut.index));
            last = Some(cut.index);
        }
        assert!(moved <= 1000 / 25, "moved {moved} times in 1000 turns");
    }
}
