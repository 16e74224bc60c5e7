use super::{ConversationIndex, Embedding, Message, Request, passages};

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
