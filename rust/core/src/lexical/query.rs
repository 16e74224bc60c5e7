//! What a question asks for: its subject's terms, each widened to related terms that the index holds.
//!
//! "Which instruments does she play?" is answered by "my violin lesson": each term of the question also matches, with
//! less weight, the terms of the index whose word vectors are near. A word that the table does not know (a name, another
//! language) matches terms that share most of their beginning, which covers inflection in most languages, and
//! abbreviations match what they stand for.

use super::stop::{Language, subject};
use super::token::{term, words};
use super::vocab::Vocab;
use crate::embed::table;

/// Related words begin at this cosine.
const NEAR: f32 = 0.44;
/// What a related word counts at most, and the share of it that the faintest relation gets.
const RELATED: f32 = 0.7;
const FAINTEST: f32 = 0.15;
/// Related terms for each word of the question.
const MOST_RELATED: usize = 20;
/// The subject's words that are used; the rest of an over-long question is ignored.
const MOST_TERMS: usize = 48;
/// A longer question says enough by itself: its words are not widened.
pub(super) const MOST_WIDENED: usize = 16;
/// What a term that shares its beginning counts at most.
const INFLECTED: f32 = 0.8;

/// Stems of the months.
const MONTHS: &[&str] = &[
    "januari", "februari", "march", "april", "may", "june", "juli", "august", "septemb", "octob", "novemb",
    "decemb",
];

/// One word of what the question is about.
#[derive(Debug, Clone)]
pub(crate) struct QueryTerm {
    /// Which word of the question.
    at: usize,
    /// Terms of the index and what they count, the word itself first (1.0) if the index has it.
    pub(crate) matches: Vec<(u32, f32)>,
}

/// A question, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// The words it is about, each once.
    pub(crate) terms: Vec<QueryTerm>,
    /// All its words in order, folded.
    pub(crate) words: Vec<String>,
    /// The terms of all of them.
    stems: Vec<String>,
    /// Which of them it is about.
    about: Vec<bool>,
}

impl Query {
    /// Takes `text` apart and looks its words up in `vocab`.
    pub(crate) fn new(text: &str, vocab: &Vocab, widen: bool) -> Self {
        let mut all = Vec::new();
        words(text, |w| {
            if all.len() < 16 * MOST_TERMS {
                all.push(w.to_owned());
            }
        });
        let stems: Vec<String> = all.iter().map(|w| term(w)).collect();
        let (language, about) = subject(&all, &stems);
        let mut terms: Vec<QueryTerm> = Vec::with_capacity(all.len().min(MOST_TERMS));
        for (at, stem) in stems.iter().enumerate().filter(|(at, _)| about.get(*at) == Some(&true)) {
            if terms.len() < MOST_TERMS && !terms.iter().any(|t| stems.get(t.at) == Some(stem)) {
                let matches = vocab.id(stem).map(|id| (id, 1.0)).into_iter().collect();
                terms.push(QueryTerm { at, matches });
            }
        }
        let mut new = Self { terms, words: all, stems, about };
        if widen && new.terms.len() <= MOST_WIDENED {
            new.relate(vocab, matches!(language, Language::English | Language::Unknown));
        }
        new
    }

    /// A word it is about, as asked, folded.
    pub(crate) fn word(&self, term: &QueryTerm) -> &str {
        self.words.get(term.at).map_or("", String::as_str)
    }

    /// The term of a word it is about.
    pub(crate) fn term(&self, term: &QueryTerm) -> &str {
        self.stems.get(term.at).map_or("", String::as_str)
    }

    /// Neighbouring terms in it, where both are about its subject.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stems.windows(2).zip(self.about.windows(2)).filter_map(|(stems, about)| match (stems, about) {
            ([a, b], [true, true]) => Some((a.as_str(), b.as_str())),
            _ => None,
        })
    }

    /// Adds to every term the related terms of the index. Costs the neighbours of each word, not the words of the index.
    fn relate(&mut self, vocab: &Vocab, english: bool) {
        let Self { terms, stems, .. } = self;
        let mut near: Vec<(f32, u32)> = Vec::new();
        for QueryTerm { at, matches } in terms {
            let Some(stem) = stems.get(*at) else { continue };
            // A month or a number asked for means that one: its neighbours would be other months, other numbers.
            if MONTHS.contains(&stem.as_str()) || stem.bytes().any(|b| b.is_ascii_digit()) {
                continue;
            }
            near.clear();
            related(stem, matches.first().map(|(id, _)| *id), vocab, english, &mut near);
            // By weight, then by the text: the numbers of terms depend on the history of the index.
            near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| vocab.text(a.1).cmp(vocab.text(b.1))));
            matches.extend(near.iter().take(MOST_RELATED).map(|(weight, id)| (*id, *weight)));
        }
    }
}

/// Appends the terms of the index that a term matches besides itself (`own`), with what they count.
fn related(term: &str, own: Option<u32>, vocab: &Vocab, english: bool, near: &mut Vec<(f32, u32)>) {
    let row = table().row(term).filter(|_| english);
    if let Some(row) = row {
        for other in table().near(row) {
            let Some(id) = vocab.at_row(other) else { continue };
            let cosine = table().cosine(row, other);
            if cosine > NEAR && !vocab.is_dull(id) && own != Some(id) {
                let share = FAINTEST + (1.0 - FAINTEST) * (cosine - NEAR) / (1.0 - NEAR);
                near.push((RELATED * share, id));
            }
        }
    }
    // Two words of the table are compared by their vectors only.
    let mut by_form = |id: u32| {
        if own == Some(id) || (row.is_some() && vocab.row(id).is_some()) {
            return;
        }
        let text = vocab.text(id);
        let form = if row.is_none() { shared_beginning(term, text) } else { None };
        if let Some(share) = form.or_else(|| abbreviated(term, text)) {
            near.push((INFLECTED * share, id));
        }
    };
    if row.is_none() && is_single(term) {
        vocab.iter().for_each(&mut by_form);
    } else {
        vocab.alike(term).for_each(&mut by_form);
        if row.is_none() {
            vocab.alike_known(term).for_each(&mut by_form);
        }
    }
}

/// A single character of a script without spaces.
pub(super) fn is_single(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| super::fold::kind(c) == super::fold::Kind::Pair) && chars.next().is_none()
}

/// The share of the longer word that two words have in common at their beginning, if it makes them forms of one word.
/// A single character of a script without spaces matches the pairs that hold it.
fn shared_beginning(a: &str, b: &str) -> Option<f32> {
    if a.bytes().any(|x| x.is_ascii_digit()) {
        return None;
    }
    let shared = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let (la, lb) = (a.chars().count(), b.chars().count());
    if lb == 2 && is_single(a) {
        return b.contains(a).then_some(1.0);
    }
    let longer = la.max(lb);
    // Endings of up to three letters; at least four letters and 70% in common.
    (shared >= 4 && longer - shared <= 3 && shared * 10 >= longer * 7)
        .then_some(shared as f32 / longer as f32)
}

/// One word is the beginning of the other, as `auth` and `config` are of longer words. Asked only where one of the two is
/// no ordinary English word.
fn abbreviated(a: &str, b: &str) -> Option<f32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let letters = short.chars().count();
    (letters >= 4 && long.starts_with(short) && !short.bytes().any(|x| x.is_ascii_digit())).then_some(0.75)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::{MONTHS, NEAR, Query, abbreviated, shared_beginning, table};
    use crate::lexical::vocab::Vocab;

    fn matches(question: &str, held: &[&str]) -> Vec<String> {
        let mut v = Vocab::default();
        for h in held {
            v.acquire(h);
        }
        let q = Query::new(question, &v, true);
        q.terms.iter().flat_map(|t| &t.matches).map(|(id, _)| v.text(*id).to_owned()).collect()
    }

    #[test]
    fn a_word_meets_its_relatives() {
        assert_eq!(
            matches("Which instruments does she play?", &["violin", "deadlin", "instrument"])[..2],
            ["instrument", "violin"]
        );
    }

    #[test]
    fn inflected_forms_meet_in_other_languages() {
        assert_eq!(matches("Где мои книги?", &["книга", "школа"]), ["книга"]);
        assert_eq!(shared_beginning("20240101", "20240102"), None);
        assert_eq!(matches("authentication issue", &["auth", "author"]), ["auth"]);
        assert_eq!(shared_beginning("猫", "黒猫"), Some(1.0));
    }

    /// Looking at the neighbours and at one beginning finds what looking at every term finds.
    #[test]
    fn no_relative_is_missed() {
        let held = "violin guitar lesson config configur authent auth author книга книги книгу школа 黒猫 猫背 犬 zürich \
                    zurichs may june 2024 2025 the play game a ab abc abcd abcde kubernet kubernetesx";
        let mut v = Vocab::default();
        let ids: Vec<u32> = held.split_whitespace().map(|text| v.acquire(text)).collect();
        for asked in [
            "instrument",
            "auth",
            "configuration",
            "книг",
            "猫",
            "kubernetes",
            "zurich",
            "play",
            "abcdef",
            "2023",
        ] {
            let query = Query::new(asked, &v, true);
            let term = query.term(&query.terms[0]);
            let row = table().row(term);
            let near = |id: &&u32| {
                let text = v.text(**id);
                let form =
                    || shared_beginning(term, text).filter(|_| row.is_none()).or(abbreviated(term, text));
                text != term
                    && match (row, v.row(**id)) {
                        (Some(a), Some(b)) => table().cosine(a, b) > NEAR && !v.is_dull(**id),
                        _ => form().is_some(),
                    }
            };
            let mut every: Vec<u32> = ids.iter().filter(near).copied().collect();
            let mut found: Vec<u32> = query.terms[0].matches.iter().map(|(id, _)| *id).collect();
            found.retain(|id| v.text(*id) != term);
            every.sort_unstable();
            found.sort_unstable();
            // A number or a month stands for itself.
            let fixed = MONTHS.contains(&term) || term.contains(|c: char| c.is_ascii_digit());
            assert_eq!(found, if fixed { Vec::new() } else { every }, "{asked}");
        }
    }
}
