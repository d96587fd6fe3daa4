//! Edits that are drawn, always the same ones unless the environment says otherwise.

/// Small numbers that follow from a seed. Source: Marsaglia, "Xorshift RNGs".
pub struct Random(u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// How many edits to make, the seed, and what draws them: `BELLJAR_TEST_EDITS` and `BELLJAR_TEST_SEED`.
pub fn edits() -> (u64, u64, Random) {
    let of_environment = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let edits = of_environment("BELLJAR_TEST_EDITS").unwrap_or(25);
    let seed = of_environment("BELLJAR_TEST_SEED").unwrap_or(2026);
    (edits, seed, Random(seed.max(1)))
}
