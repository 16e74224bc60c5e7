use super::{ConversationIndex, Embedding, Hit, Message, Request, passages};

fn message(text: &str) -> Message<'_> {
    Message { text, user: true, speaker: None, joined: false }
}

fn index(embedding: Embedding) -> ConversationIndex {
    ConversationIndex::new(10, 2, embedding).unwrap()
}

fn ask<'a>(question: &'a str) -> Request<'a> {
    Request { question, vector: None, sessions: None, limit: 5, context: 2000 }
}

const TALKS: &[&[&str]] = &[
    &[
        "I keep getting an auth error",
        "Let us check your JWT token",
        "It was expired!",
        "You can refresh it with the endpoint",
    ],
    &["My violin lesson went well", "Great, how long have you played?", "Three years now"],
    &["Мы ездили в музей вчера", "Что вы видели?", "Старые картины и книги"],
    &["", "\u{0}\u{feff}", "🤯🤯🤯", "a"],
];

fn filled(embedding: Embedding) -> ConversationIndex {
    let mut ix = index(embedding);
    for (i, talk) in TALKS.iter().enumerate() {
        let ms: Vec<_> = talk.iter().map(|t| message(t)).collect();
        ix.put(&format!("s{i}"), Some("2025-01-15"), &ms, None).unwrap();
    }
    ix
}

#[test]
fn the_right_talk_comes_first() {
    for embedding in [Embedding::None, Embedding::Local, Embedding::External(3)] {
        let ix = filled(embedding);
        for (q, s) in [
            ("How did we fix the authentication issue?", "s0"),
            ("which instrument do I play?", "s1"),
            ("Когда мы были в музее?", "s2"),
        ] {
            let hits = ix.search(&ask(q));
            assert_eq!(hits.first().map(|h| h.session.as_str()), Some(s), "{embedding:?} {q}");
            assert!(hits.windows(2).all(|w| w[0].score >= w[1].score));
            assert!(hits.iter().all(|h| (0.0..=1.0).contains(&h.score)));
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_matches() {
    let ix = filled(Embedding::None);
    assert!(ix.search(&ask("zzzzqqq")).is_empty());
    assert!(index(Embedding::Local).search(&ask("anything")).is_empty());
    assert!(ix.search(&Request { sessions: Some(&[]), ..ask("violin") }).is_empty());
    let only = ix.search(&Request { sessions: Some(&["s0"]), ..ask("violin token") });
    assert!(!only.is_empty() && only.iter().all(|h| h.session == "s0"));
}

#[test]
fn contexts_show_each_message_once() {
    let mut ix = index(Embedding::Local);
    let texts: Vec<String> = (0..60).map(|i| format!("note {i} about the violin and the garden")).collect();
    let ms: Vec<_> = texts.iter().map(|t| message(t)).collect();
    ix.put("a", None, &ms, None).unwrap();
    let hits = ix.search(&Request { limit: 20, ..ask("violin garden") });
    let mut seen = std::collections::HashSet::new();
    for h in &hits {
        for c in &h.context {
            assert!(seen.insert(c.message), "shown twice");
            assert!(c.message < 60 && (h.start..h.end).contains(&h.best));
        }
    }
}

#[test]
fn vectors_from_outside_are_checked_and_used() {
    let mut ix = index(Embedding::External(2));
    let ms = [message("alpha"), message("beta")];
    assert_eq!(passages(&["alpha", "beta"]).len(), 2);
    assert!(ix.put("a", None, &ms, Some(&[1.0, 0.0, 0.0])).is_err());
    assert!(ix.put("a", None, &ms, Some(&[1.0, 0.0, f32::NAN, 1.0])).is_err());
    ix.put("a", None, &ms, Some(&[1.0, 0.0, 0.0, 1.0])).unwrap();
    ix.put("b", None, &[message("gamma")], Some(&[-1.0, 0.0])).unwrap();
    let hits = ix.search(&Request { vector: Some(&[0.0, 5.0]), ..ask("unrelated") });
    assert_eq!((hits[0].session.as_str(), hits[0].best), ("a", 1));
    assert!(hits[0].similarity.unwrap() > 0.99);
}

#[test]
fn any_history_gives_the_ranking_of_a_fresh_index() {
    let mut seed = 11_u64;
    let mut next = move |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % n
    };
    let pool = [
        "violin lesson",
        "auth token expired",
        "museum trip",
        "книги и картины",
        "猫が好き",
        "seven cats",
        "",
        "Anna: hi",
        "ok",
    ];
    for _ in 0..60 {
        let mut ix = index(Embedding::Local);
        let mut now: std::collections::BTreeMap<String, Vec<&str>> = std::collections::BTreeMap::new();
        for _ in 0..25 {
            let key = format!("s{}", next(6));
            if next(4) == 0 {
                assert_eq!(ix.remove(&key), now.remove(&key).is_some());
            } else {
                let talk: Vec<&str> = (0..next(30)).map(|_| pool[next(pool.len())]).collect();
                let ms: Vec<_> = talk.iter().map(|t| message(t)).collect();
                ix.put(&key, None, &ms, None).unwrap();
                now.insert(key, talk);
            }
        }
        let mut fresh = index(Embedding::Local);
        for (key, talk) in now.iter().rev() {
            let ms: Vec<_> = talk.iter().map(|t| message(t)).collect();
            fresh.put(key, None, &ms, None).unwrap();
        }
        for q in ["When was the violin lesson?", "cats", "музей книги", "猫", "Anna token"] {
            assert_eq!(ix.search(&ask(q)), fresh.search(&ask(q)), "{q}");
        }
    }
}

fn history() -> ConversationIndex {
    let mut index = ConversationIndex::new(4, 1, Embedding::Local).unwrap();
    for n in 0..12 {
        let texts: Vec<String> = (0..7)
            .map(|at| match at {
                2 => format!("Anna: the garden {n} at {at}:30, 庭園"),
                3 => format!("Boris: no velvet tortoise {n}, Anna"),
                4 => "a long word of the garden ".repeat(90),
                _ => format!("Anna: minerals of {n} and {at}"),
            })
            .collect();
        let messages: Vec<Message<'_>> = texts
            .iter()
            .map(|text| Message { text, user: text.starts_with("Anna"), speaker: None, joined: false })
            .collect();
        let date = format!("2024-{:02}-03", n + 1);
        index.put(&format!("{n}:1"), (n % 3 > 0).then_some(date.as_str()), &messages, None).unwrap();
    }
    index.remove("3:1");
    index
}

fn asked(index: &ConversationIndex) -> Vec<Vec<Hit>> {
    ["what did Anna say of gardens in May 2024?", "velvet tortoises", "when", "how many minerals"]
        .map(|question| {
            index.search(&Request { question, vector: None, sessions: None, limit: 9, context: 900 })
        })
        .to_vec()
}

/// A file of its own, gone with the test.
struct Place(std::path::PathBuf);

impl Place {
    fn of(name: &str, index: &ConversationIndex) -> Self {
        let place = Self(std::env::temp_dir().join(format!("ai-infra-recall-{name}-{}", std::process::id())));
        let mut draft = crate::snapshot::Draft::begin(&place.0).unwrap().unwrap();
        draft.fill(b"", |out| index.save(out)).unwrap();
        draft.publish().unwrap();
        place
    }

    fn load(&self, into: &mut ConversationIndex) -> Option<()> {
        crate::snapshot::load(&self.0, b"", |from| into.load(from))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_comes_out_of_a_file_finds_the_same_and_goes_on() {
    let mut index = history();
    let place = Place::of("same", &index);
    let mut again = ConversationIndex::new(4, 1, Embedding::Local).unwrap();
    place.load(&mut again).unwrap();
    assert_eq!(asked(&again), asked(&index));
    assert_eq!(again.sessions().collect::<Vec<_>>(), index.sessions().collect::<Vec<_>>());
    // Until the sessions part, and after.
    for n in 4..12 {
        let text = format!("another garden {n}");
        let message = Message { text: &text, user: true, speaker: None, joined: false };
        for one in [&mut index, &mut again] {
            assert!(one.remove(&format!("{n}:1")));
            one.put(&format!("{n}:2"), None, &[message], None).unwrap();
        }
        assert_eq!(asked(&again), asked(&index));
    }
    assert_eq!((again.together, again.gone), (0, 0));
    for key in index.sessions().map(str::to_owned).collect::<Vec<_>>() {
        assert!(again.remove(&key));
    }
    assert_eq!((again.bytes, again.vocab.iter().count()), (0, 0));
    // An index of another kind stays what it was.
    let mut other = ConversationIndex::new(4, 1, Embedding::External(3)).unwrap();
    assert!(place.load(&mut other).is_none());
    assert_eq!(other.dimensions(), 3);
}

#[test]
fn a_file_that_was_made_up_is_refused_or_searched_without_harm() {
    let index = history();
    let place = Place::of("hostile", &index);
    let whole = std::fs::read(&place.0).unwrap();
    let end = whole.len() - 16;
    let mut refused = 0;
    let mut state = 7_u64;
    for round in 0..4_000 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = 16 + (state >> 33) as usize % (end - 16);
            bytes[at] = (state >> 25) as u8;
        }
        let sum = xxhash_rust::xxh3::xxh3_128(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&sum);
        std::fs::write(&place.0, &bytes).unwrap();
        let mut again = ConversationIndex::new(4, 1, Embedding::Local).unwrap();
        match place.load(&mut again) {
            None => refused += 1,
            Some(()) => {
                asked(&again);
                for key in again.sessions().map(str::to_owned).collect::<Vec<_>>() {
                    again.remove(&key);
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}
