//! Random values that prefer the boundaries: where sign, carry, width and alignment change.

/// xorshift64* (Marsaglia, "Xorshift RNGs", 2003; Vigna's multiplier): small, and the same on
/// every machine, so that a seed names a test case for ever.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator; any seed is fine.
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed ^ 0x9e37_79b9_7f4a_7c15 | 1);
        for _ in 0..4 {
            rng.next();
        }
        rng
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n` (0 for 0).
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the elements.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Puts the elements in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// A register value near a boundary, three times out of four.
    pub fn value(&mut self) -> u64 {
        let near = |rng: &mut Rng, v: u64| v.wrapping_add(rng.below(5)).wrapping_sub(2);
        match self.below(16) {
            0..=3 => self.next(),
            4 => near(self, 0),
            5 => near(self, 1 << 63),
            6 => near(self, 1 << 31),
            7 => near(self, 1 << 32),
            8 => near(self, !0 << 31),
            9 => {
                let bit = 1 << self.below(64);
                near(self, bit)
            }
            10 => self.next() >> self.below(64),
            11 => (self.next() as i64 >> self.below(64)) as u64,
            12 => i64::from(self.next() as i32) as u64,
            13 => u64::from(self.next() as u32),
            // Bytes that are 0, 1, 0x7f, 0x80 or 0xff.
            14 => u64::from_le_bytes([(); 8].map(|()| self.pick(&[0, 0, 1, 0x7f, 0x80, 0xff]))),
            _ => self.below(64),
        }
    }

    /// A 12-bit signed immediate, likewise.
    pub fn imm12(&mut self) -> i32 {
        match self.below(8) {
            0 => 0,
            1 => self.pick(&[-1, 1]),
            2 => self.pick(&[-2048, 2047]),
            3 => self.pick(&[255, 128, 127, -128, 1024]),
            4 => self.below(64) as i32 - 32,
            _ => self.below(4096) as i32 - 2048,
        }
    }
}

/// A number in the environment, by which a test is told how much to do, or what.
pub fn number(name: &str, radix: u32) -> Option<u64> {
    u64::from_str_radix(&std::env::var(name).ok()?, radix).ok()
}

/// `HARTLOG_CASES`: how many programs, or whatever a test makes.
pub fn cases(default: u64) -> u64 {
    number("HARTLOG_CASES", 10).unwrap_or(default)
}
