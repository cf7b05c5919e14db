//! How likely chance alone reaches a count: the upper tail of the negative binomial distribution.
//!
//! Counts per hour scatter more than a Poisson distribution says, since hours differ. A Poisson
//! count whose rate itself scatters (as a gamma distribution) is negative binomial, with mean `m`
//! and variance `m + m² / size`. Its tail is a regularized incomplete beta function,
//! `P(X ≥ k) = I_x(k, size)` with `x = m / (m + size)` (NIST Digital Library of Mathematical
//! Functions, 8.17.5 and 8.17.24).

/// A count as chance would have it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NegativeBinomial {
    mean: f64,
    size: f64,
}

impl NegativeBinomial {
    /// Returns the distribution with this mean (positive) and variance; one that is not above the
    /// mean gives, as nearly as can be computed, the Poisson distribution.
    pub(super) fn new(mean: f64, variance: f64) -> Self {
        // Beyond this size nothing changes but rounding errors.
        const LARGEST_SIZE: f64 = 1e6;
        let excess = variance - mean;
        let size = if excess > 0.0 { mean * mean / excess } else { LARGEST_SIZE };
        Self { mean, size: size.clamp(f64::MIN_POSITIVE, LARGEST_SIZE) }
    }

    /// Returns the probability of `count` or more.
    pub(super) fn tail(self, count: f64) -> f64 {
        if count <= 0.0 {
            return 1.0;
        }
        let odds = self.mean + self.size;
        incomplete_beta(count, self.size, self.mean / odds, self.size / odds)
    }

    /// Returns the largest count that chance reaches with more than `probability` (below 1).
    pub(super) fn upper(self, probability: f64) -> f64 {
        let is_usual = |count: f64| self.tail(count) > probability;
        let mut low = 0.0;
        let mut high = self.mean.ceil().max(1.0);
        while is_usual(high) && high < 1e15 {
            low = high;
            high *= 2.0;
        }
        while high - low > 1.0 {
            let middle = (low + (high - low) / 2.0).floor();
            if is_usual(middle) { low = middle } else { high = middle }
        }
        low
    }
}

/// `I_x(a, b)` for positive `a` and `b`; `y` is `1 − x`, handed in exactly.
fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if y <= 0.0 {
        return 1.0;
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * y.ln();
    // The fraction converges fast on this side of the mean, its mirror image on the other
    // (8.17.4), so that small tails keep all their digits.
    let result = if x < (a + 1.0) / (a + b + 2.0) {
        front.exp() * fraction(a, b, x) / a
    } else {
        1.0 - front.exp() * fraction(b, a, y) / b
    };
    result.clamp(0.0, 1.0)
}

/// The continued fraction 8.17.22 by Lentz's method. Needs about √max(a, b) terms.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const MOST_TERMS: u32 = 20_000;
    let away_from_zero = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for term in 1..=MOST_TERMS {
        let m = f64::from(term);
        let twice = a + 2.0 * m;
        let even = m * (b - m) * x / ((twice - 1.0) * twice);
        let odd = -(a + m) * (a + b + m) * x / (twice * (twice + 1.0));
        let mut change = 1.0;
        for coefficient in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + coefficient * d);
            c = away_from_zero(1.0 + coefficient / c);
            change = c * d;
            result *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// The logarithm of the gamma function for positive `x`: Lanczos's approximation with Godfrey's
/// coefficients for g = 7, good to 15 digits.
fn ln_gamma(x: f64) -> f64 {
    const G: f64 = 7.0;
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // The approximation holds from one half on: Γ(x) = Γ(x + 1) / x.
        return ln_gamma(x + 1.0) - x.ln();
    }
    let x = x - 1.0;
    let terms = COEFFICIENTS.iter().enumerate().skip(1);
    let sum = terms.fold(COEFFICIENTS[0], |sum, (i, c)| sum + c / (x + i as f64));
    let t = x + G + 0.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(actual: f64, expected: f64, relative: f64) {
        assert!((actual - expected).abs() <= relative * expected.abs(), "{actual} ≠ {expected}");
    }

    /// The tail as a plain sum of probabilities: slow, and independent of the functions above.
    fn summed_tail(mean: f64, size: f64, count: u32) -> f64 {
        let (success, failure) = (size / (mean + size), mean / (mean + size));
        let mut probability = success.powf(size);
        let mut below = 0.0;
        let mut tail = 0.0;
        for k in 0..100_000_u32 {
            if k < count {
                below += probability
            } else {
                tail += probability
            }
            probability *= failure * (f64::from(k) + size) / (f64::from(k) + 1.0);
        }
        if below < 0.5 { 1.0 - below } else { tail }
    }

    #[test]
    fn ln_gamma_agrees_with_factorials_and_the_half() {
        close(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-14);
        close(ln_gamma(0.25), 3.625_609_908_221_908_f64.ln(), 1e-14);
        close(ln_gamma(11.0), 3_628_800_f64.ln(), 1e-14);
        close(ln_gamma(171.0), 7.257_415_615_307_994e306_f64.ln(), 1e-14);
    }

    #[test]
    fn tails_agree_with_known_values() {
        // Size 1 is the geometric distribution: P(X ≥ k) = (m / (m + 1))^k.
        for count in [1.0, 5.0, 40.0] {
            close(NegativeBinomial::new(3.0, 12.0).tail(count), 0.75_f64.powf(count), 1e-12);
        }
        // A coin: fewer than 3 failures before the 3rd success happen as often as not.
        close(NegativeBinomial::new(3.0, 6.0).tail(3.0), 0.5, 1e-13);
        // Nearly Poisson with mean 1: P(X ≥ 1) = 1 − 1/e, P(X ≥ 2) = 1 − 2/e.
        let poisson = NegativeBinomial::new(1.0, 1.0);
        close(poisson.tail(1.0), 1.0 - (-1.0_f64).exp(), 1e-6);
        close(poisson.tail(2.0), 1.0 - 2.0 * (-1.0_f64).exp(), 1e-6);
    }

    #[test]
    fn tails_agree_with_the_sum_of_their_terms() {
        for (mean, size) in [(0.69, 1.5), (4.0, 25.0), (60.0, 18.0), (300.0, 6.5), (2_000.0, 25.0)]
        {
            let distribution = NegativeBinomial::new(mean, mean + mean * mean / size);
            for count in [1_u32, 5, 60, 240, 900, 4_000] {
                let summed = summed_tail(mean, size, count);
                if summed > 1e-250 {
                    close(distribution.tail(f64::from(count)), summed, 1e-9);
                }
            }
        }
    }

    #[test]
    fn large_counts_neither_fail_nor_take_long() {
        let busy = NegativeBinomial::new(1e9, 1e9 + 0.04e18);
        assert!(busy.tail(1e9) > 0.3 && busy.tail(4e9) < 1e-18);
        let upper = busy.upper(1e-5);
        assert!((1.9e9..2.4e9).contains(&upper), "{upper}");
    }

    proptest! {
        #[test]
        fn the_tail_falls_with_the_count_and_rises_with_the_mean(
            mean in 0.1_f64..1e5, relative in 0.0_f64..2.0, count in 0_u32..200_000, step in 1_u32..500,
        ) {
            let at = |mean: f64, count: u32| {
                NegativeBinomial::new(mean, mean + (relative * mean).powi(2)).tail(f64::from(count))
            };
            let tail = at(mean, count);
            prop_assert!((0.0..=1.0).contains(&tail));
            prop_assert!(at(mean, count + step) <= tail + 1e-12);
            prop_assert!(at(mean * 1.1, count) >= tail - 1e-12);
        }

        #[test]
        fn the_upper_count_is_the_last_usual_one(
            mean in 0.1_f64..1e4, relative in 0.0_f64..1.0, probability in 1e-9_f64..0.05,
        ) {
            let counts = NegativeBinomial::new(mean, mean + (relative * mean).powi(2));
            let upper = counts.upper(probability);
            prop_assert!(counts.tail(upper) > probability);
            prop_assert!(counts.tail(upper + 1.0) <= probability);
        }
    }
}
