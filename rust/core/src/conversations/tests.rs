#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::error::Error;

fn write(user: &str, session: &str, messages: &[&str]) -> Write {
    Write {
        user_id: user.to_owned(),
        session_id: session.to_owned(),
        messages: messages.iter().map(|m| (*m).to_owned()).collect(),
        metadata: "{}".to_owned(),
        starts: None,
        ends: None,
        summary: None,
        summarized: 0,
        vectors: Vectors::new(),
        restored: None,
    }
}

/// Of length 1, so that they come back as they are.
fn vectors(hashes: &[u8], size: usize) -> Vectors {
    let one = |h: u8, i: usize| if i == usize::from(h) % size { 1.0f32 } else { 0.0 };
    hashes.iter().map(|h| (vec![*h], (0..size).flat_map(|i| one(*h, i).to_le_bytes()).collect())).collect()
}

#[test]
fn only_what_changed_is_written() {
    let c = Conversations::memory().unwrap();
    let first = c.put(&[write("u", "s", &["1", "2"])], "m", 1).unwrap();
    assert_eq!(first[0].1, 2);
    let again = c.put(&[write("u", "s", &["1", "2"])], "m", 2).unwrap();
    assert_eq!(again[0], (first[0].0.clone(), 0));
    let grown = c.put(&[write("u", "s", &["1", "2", "3"])], "m", 3).unwrap();
    assert_eq!((grown[0].1, grown[0].0.length, grown[0].0.created_at, grown[0].0.updated_at), (1, 3, 1, 3));
    let cut = c.put(&[write("u", "s", &["1"])], "m", 4).unwrap();
    assert_eq!((cut[0].1, c.get("u", "s").unwrap().unwrap().messages), (2, vec!["1".to_owned()]));
    assert_eq!(c.list(Some("u")).unwrap().len(), 1);
    assert_eq!(c.list(Some("U")).unwrap().len(), 0);
}

#[test]
fn an_index_is_told_what_it_lacks() {
    let c = Conversations::memory().unwrap();
    c.put(&[write("u", "s", &["1"]), write("u", "t", &["2"]), write("v", "s", &["3"])], "m", 1).unwrap();
    let all = c.changes("u", &HashMap::new(), 100).unwrap();
    assert_eq!((all.live.len(), all.loaded.len(), all.state.generation), (2, 2, 2));
    let held: HashMap<i64, i64> = all.loaded.iter().map(|s| (s.head.id, s.head.seq)).collect();
    assert_eq!(c.changes("u", &held, 100).unwrap().loaded, []);
    c.put(&[write("u", "t", &["4"])], "m", 2).unwrap();
    let one = c.changes("u", &held, 100).unwrap();
    assert_eq!((one.loaded.len(), one.loaded[0].head.session_id.as_str()), (1, "t"));
    assert_eq!(c.delete("u", None).unwrap(), 2);
    assert_eq!(c.state("u").unwrap().id, 0);
    assert_eq!(c.totals(None).unwrap(), Totals { users: 1, conversations: 1, messages: 1 });
}

#[test]
fn models_and_sizes_are_never_mixed() {
    let c = Conversations::memory().unwrap();
    let mut one = write("u", "s", &["1"]);
    one.vectors = vectors(&[1, 2], 4);
    c.put(&[one.clone()], "a", 1).unwrap();
    assert!(matches!(c.put(&[one.clone()], "b", 2), Err(Error::EmbeddingMismatch(_))));
    let mut other = write("u", "t", &["1"]);
    other.vectors = vectors(&[3], 8);
    assert!(matches!(c.put(&[other.clone()], "a", 2), Err(Error::EmbeddingMismatch(_))));
    assert_eq!(c.get("u", "t").unwrap(), None);
    assert_eq!(c.known("u", &[vec![1], vec![9]]).unwrap(), vectors(&[1], 4));
    assert_eq!(c.known("v", &[vec![1]]).unwrap(), Vectors::new());
    let pending = c.pending().unwrap();
    let rows = [(pending[0].head.id, pending[0].head.seq, vectors(&[7], 8))];
    assert!(!c.reembed("b", &[]).unwrap());
    assert!(c.reembed("b", &rows).unwrap());
    c.put(&[other], "b", 3).unwrap();
    assert_eq!(c.changes("u", &HashMap::new(), 100).unwrap().loaded[0].vectors, vectors(&[7], 8));
}
