//! Turns the public vocabularies into the tables that `src/tokens` reads straight from the binary.
//!
//! Beside them lies which words of the built-in embedder are near each other (`build/near.rs`).
//!
//! Nothing is built when a process starts: each table is a static array of bytes that the operating
//! system pages in where it is touched. The vocabularies come from the `tiktoken-rs` crate, the character
//! classes from `regex-syntax`; both are build dependencies only.

// A build script may stop with a panic: nobody's data reaches it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "build/classes.rs"]
mod classes;
#[path = "build/merges.rs"]
mod merges;
#[path = "build/near.rs"]
mod near;
#[path = "build/pieces.rs"]
mod pieces;
#[path = "build/trie.rs"]
mod trie;

use std::path::{Path, PathBuf};
use std::{env, fs};

use tiktoken_rs::CoreBPE;

/// Writes arrays in the byte order of the target, which is not always that of this machine.
pub struct Output {
    directory: PathBuf,
    big_endian: bool,
}

impl Output {
    fn bytes(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.join(name), bytes).expect("OUT_DIR is writable");
    }

    fn u32s(&self, name: &str, values: &[u32]) {
        let to_bytes = if self.big_endian { u32::to_be_bytes } else { u32::to_le_bytes };
        self.bytes(name, &values.iter().flat_map(|&v| to_bytes(v)).collect::<Vec<u8>>());
    }

    fn u64s(&self, name: &str, values: &[u64]) {
        let to_bytes = if self.big_endian { u64::to_be_bytes } else { u64::to_le_bytes };
        self.bytes(name, &values.iter().flat_map(|&v| to_bytes(v)).collect::<Vec<u8>>());
    }
}

/// The ordinary tokens of `bpe` in rank order. Ids are renumbered without gaps (p50k_base leaves one for its
/// special token): merging compares ranks and never uses their values.
fn vocabulary(bpe: &CoreBPE) -> Vec<Vec<u8>> {
    let special = bpe.special_tokens();
    let is_special = |token: &[u8]| std::str::from_utf8(token).is_ok_and(|t| special.contains(t));
    let ids = 0..210_000;
    ids.filter_map(|id| bpe.decode_bytes(&[id]).ok()).filter(|token| !is_special(token)).collect()
}

fn write_encoding(out: &Output, name: &str, bpe: &CoreBPE, expected: usize) {
    let tokens = vocabulary(bpe);
    assert_eq!(tokens.len(), expected, "{name} is not the vocabulary that the tables were made for");
    assert!(tokens.iter().all(|token| (1..=255).contains(&token.len())));
    assert!(
        (0..).zip(&tokens).all(|(rank, token)| (token.len() == 1) == (rank < 256)),
        "the bytes have the lowest ranks"
    );
    let merges = merges::Merges::new(&tokens);
    pieces::write(out, name, &tokens);
    trie::write(out, name, &tokens, &merges);
    merges.write(out, name);
    out.bytes(&format!("{name}.lengths"), &tokens.iter().map(|t| t.len() as u8).collect::<Vec<_>>());
    out.bytes(&format!("{name}.bytes"), &tokens.concat());
}

fn main() {
    for path in ["build.rs", "build"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let out = Output {
        directory: Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).to_path_buf(),
        big_endian: env::var("CARGO_CFG_TARGET_ENDIAN").is_ok_and(|endian| endian == "big"),
    };
    classes::write(&out);
    // All are independent of each other; o200k_harmony has the ordinary vocabulary of o200k_base.
    std::thread::scope(|scope| {
        let out = &out;
        scope.spawn(|| near::write(out));
        scope
            .spawn(|| write_encoding(out, "o200k", &tiktoken_rs::o200k_base().expect("o200k_base"), 199_998));
        scope.spawn(|| {
            write_encoding(out, "cl100k", &tiktoken_rs::cl100k_base().expect("cl100k_base"), 100_256);
            write_encoding(out, "p50k", &tiktoken_rs::p50k_base().expect("p50k_base"), 50_280);
            write_encoding(out, "r50k", &tiktoken_rs::r50k_base().expect("r50k_base"), 50_256);
        });
    });
}
