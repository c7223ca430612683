//! The corpora and some thousand mutations of them, the same in each run.

use std::fs;
use std::path::Path;

use mcp_reporter_fuzz::CHECKS;

/// Mutations of each input of a corpus.
const MUTATIONS: u64 = 1_000;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound.max(1)
    }

    /// Changes, inserts, removes or doubles some bytes.
    fn mutate(&mut self, input: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let end = (at + self.below(8)).min(input.len());
            match self.below(4) {
                0 if at < input.len() => input[at] = self.below(256) as u8,
                1 => input.insert(at, self.below(256) as u8),
                2 => drop(input.drain(at..end)),
                _ => {
                    let part = input[at..end].to_vec();
                    let to = self.below(input.len() + 1);
                    input.splice(to..to, part);
                }
            }
        }
    }
}

#[test]
fn every_check_holds_for_its_corpus_and_mutations_of_it() {
    for (name, check) in CHECKS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs: Vec<_> = fs::read_dir(&corpus)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{} is empty", corpus.display());
        for (n, path) in inputs.iter().enumerate() {
            let seed = fs::read(path).unwrap();
            check(&seed);
            let mut dice = Dice(n as u64);
            for _ in 0..MUTATIONS {
                let mut input = seed.clone();
                dice.mutate(&mut input);
                if std::panic::catch_unwind(|| check(&input)).is_err() {
                    panic!(
                        "{name} does not hold for {:?}",
                        input.escape_ascii().to_string()
                    );
                }
            }
        }
    }
}
