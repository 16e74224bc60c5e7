//! Times the exact search of the core alone: no Python, with top-k. Prints one line a case:
//! `precision rows dimensions kernels nanoseconds` (the median of one `search` for k = 10).

use std::time::Instant;

use ai_infra_core::error::Result;
use ai_infra_core::vectors::{Kernels, Options, Precision, Search, VectorIndex};

fn main() -> Result<()> {
    let every = std::env::args().any(|argument| argument == "--every-kernel");
    let wanted: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let mut state = 1u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    for dimensions in [384usize, 1_536] {
        for rows in
            [100usize, 1_000, 10_000, 100_000].into_iter().filter(|n| wanted.is_empty() || wanted.contains(n))
        {
            for (name, precision) in [("f16", Precision::F16), ("i8", Precision::I8), ("f32", Precision::F32)]
            {
                for kernels in Kernels::available().into_iter().take(if every { usize::MAX } else { 1 }) {
                    let index =
                        VectorIndex::new(dimensions, Options { precision, kernels, graph_from: usize::MAX })?;
                    for id in 0..rows as u64 {
                        index.add(id, &(0..dimensions).map(|_| noise()).collect::<Vec<f32>>())?;
                    }
                    let query: Vec<f32> = (0..dimensions).map(|_| noise()).collect();
                    let rounds = (200_000_000 / (rows * dimensions) + 21).min(20_001);
                    let mut times = Vec::with_capacity(rounds);
                    for _ in 0..rounds {
                        let start = Instant::now();
                        let hits = index.search(&query, Search::best(10))?;
                        times.push(start.elapsed().as_nanos());
                        assert_eq!(std::hint::black_box(hits).len(), 10);
                    }
                    times.sort_unstable();
                    let median = times.get(rounds / 2).copied().unwrap_or_default();
                    println!("{name} {rows} {dimensions} {} {median}", kernels.name);
                }
            }
        }
    }
    Ok(())
}
