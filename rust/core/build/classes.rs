//! The class of every code point, as a two-stage table: 256 code points a block, equal blocks shared.

use regex_syntax::hir::{Class, HirKind};

use crate::Output;

/// The classes, in the order of their numbers in `src/tokens/classes.rs`; number 0 is everything else.
/// Where two match, the later one wins.
const CLASSES: [&str; 8] =
    [r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r" ", r"[\s--[ \r\n]]", r"[\r\n]"];

fn ranges(pattern: &str) -> Vec<(u32, u32)> {
    let hir = regex_syntax::parse(pattern).expect("a valid class");
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().map(|range| (range.start() as u32, range.end() as u32)).collect()
        }
        // A class of one character is simplified to a literal.
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).expect("UTF-8");
            text.chars().map(|c| (c as u32, c as u32)).collect()
        }
        other => panic!("{pattern} is no class: {other:?}"),
    }
}

/// Writes `classes.index` (one byte for each 256 code points) and `classes.blocks`.
pub fn write(out: &Output) {
    let mut class = vec![0_u8; 0x11_0000];
    for (number, pattern) in (1..).zip(CLASSES) {
        for (first, last) in ranges(pattern) {
            class[first as usize..=last as usize].fill(number);
        }
    }
    // tiktoken 0.14 reads Unicode 16.0: U+1C89 came with 16.0 (a capital letter), U+A7CE with 17.0.
    assert_eq!(
        (class[0x1C89], class[0xA7CE]),
        (1, 0),
        "regex-syntax is not at Unicode 16.0, tiktoken's version"
    );

    let mut blocks: Vec<&[u8]> = Vec::new();
    let mut index = Vec::new();
    for block in class.chunks(256) {
        let position = blocks.iter().position(|known| *known == block).unwrap_or_else(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        index.push(u8::try_from(position).expect("at most 256 different blocks"));
    }
    blocks.resize(256, &class[..256]); // any index is in bounds
    out.bytes("classes.index", &index);
    out.bytes("classes.blocks", &blocks.concat());
}
