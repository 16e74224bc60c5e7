//! Which words of the built-in table are near each other: a question's words are widened to them, and looking
//! for them anew in each search would cost a pass over every word that an index holds.

use crate::Output;

/// Just below the cosine from which a word counts as related (`src/lexical/query.rs`), which decides for good.
const NEAR: f32 = 0.4399;
/// Rows compared with all others at a time: they stay in the first-level cache.
const TILE: usize = 32;

struct Words {
    dim: usize,
    inverse: Vec<f32>,
    values: Vec<i16>,
}

impl Words {
    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (rows, dim, keys) = (word(8) as usize, word(12) as usize, word(16) as usize);
        let inverse = 20 + (rows + 1) * 4;
        let values = inverse + rows * 4 + rows + keys;
        Self {
            dim,
            inverse: (0..rows).map(|row| f32::from_bits(word(inverse + row * 4))).collect(),
            values: bytes[values..values + rows * dim].iter().map(|b| i16::from(*b as i8)).collect(),
        }
    }

    fn row(&self, row: usize) -> &[i16] {
        &self.values[row * self.dim..(row + 1) * self.dim]
    }

    /// The rows near each of those from `start` to `end`.
    fn near(&self, start: usize, end: usize) -> Vec<Vec<u16>> {
        let mut found = vec![Vec::new(); end - start];
        for other in 0..self.inverse.len() {
            let row = self.row(other);
            for (mine, found) in (start..end).zip(&mut found) {
                let dot: i32 =
                    self.row(mine).iter().zip(row).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
                if mine != other && dot as f32 * self.inverse[mine] * self.inverse[other] > NEAR {
                    found.push(u16::try_from(other).expect("the table has fewer than 65,536 rows"));
                }
            }
        }
        found
    }
}

/// Writes `near.first` (for each row where its neighbours begin, and one past the last) and `near.rows`,
/// both little-endian, as the word table is.
pub fn write(out: &Output) {
    println!("cargo::rerun-if-changed=assets/words.bin");
    let words = Words::read(&std::fs::read("assets/words.bin").expect("the word table is in assets"));
    let rows = words.inverse.len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = rows.div_ceil(threads);
    let found: Vec<Vec<u16>> = std::thread::scope(|scope| {
        let words = &words;
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    let (from, to) = ((part * share).min(rows), ((part + 1) * share).min(rows));
                    (from..to)
                        .step_by(TILE)
                        .flat_map(|start| words.near(start, (start + TILE).min(to)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("a comparison does not fail")).collect()
    });
    let first = found.iter().scan(0u32, |sum, near| {
        *sum += u32::try_from(near.len()).unwrap();
        Some(*sum)
    });
    let first: Vec<u8> = std::iter::once(0).chain(first).flat_map(u32::to_le_bytes).collect();
    out.bytes("near.first", &first);
    out.bytes("near.rows", &found.concat().into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
}
