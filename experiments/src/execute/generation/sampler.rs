//! How the client chooses the next token.

use crate::spec::GenerationSection;

/// Chooses from logits: the most likely token, or one drawn at a temperature. What is drawn at a position depends on seed and position alone, so
/// that a resumed run, and the float model beside it, draw the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler {
    drawing: Option<Drawing>,
}

#[derive(Clone, Copy, Debug)]
struct Drawing {
    temperature: f64,
    seed: u64,
}

impl Sampler {
    /// The sampler of a spec.
    pub(crate) fn new(section: &GenerationSection) -> Self {
        let drawing = |temperature| Drawing { temperature, seed: section.seed.unwrap_or(0) };
        Self { drawing: section.temperature.map(drawing) }
    }

    /// The token that follows a position; none where a logit is no number.
    pub(crate) fn choose(&self, logits: &[f32], position: usize) -> Option<u32> {
        if logits.is_empty() || logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return None;
        }
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        let Some(Drawing { temperature, seed }) = self.drawing else { return Some(best as u32) };
        let weight = |logit: &f32| (f64::from(logit - logits[best]) / temperature).exp();
        let total: f64 = logits.iter().map(weight).sum();
        let mut left = uniform(seed, position) * total;
        for (token, logit) in logits.iter().enumerate() {
            left -= weight(logit);
            if left < 0.0 {
                return Some(token as u32);
            }
        }
        Some(best as u32)
    }
}

/// A number in [0, 1) of a seed and a position.
fn uniform(seed: u64, position: usize) -> f64 {
    let material = [seed.to_le_bytes(), (position as u64).to_le_bytes()].concat();
    let bytes = blake3::derive_key("fhe-llama 2026 draw of a token from a spec's seed", &material);
    let word = u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default());
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(temperature: f64, seed: u64) -> Sampler {
        Sampler::new(&GenerationSection { tokens: 2, rounds: None, temperature: Some(temperature), seed: Some(seed) })
    }

    #[test]
    fn the_most_likely_token_is_chosen_without_a_temperature() {
        let greedy = Sampler::new(&GenerationSection { tokens: 2, rounds: None, temperature: None, seed: None });
        assert_eq!(greedy.choose(&[0.5, 2.0, -1.0], 3), Some(1));
    }

    #[test]
    fn rejects_logits_that_are_no_numbers() {
        for bad in [f32::NAN, f32::INFINITY] {
            for sampler in [
                drawing(1.0, 1),
                Sampler::new(&GenerationSection { tokens: 2, rounds: None, temperature: None, seed: None }),
            ] {
                assert_eq!(sampler.choose(&[0.0, bad, 1.0], 3), None);
            }
        }
        assert_eq!(drawing(1.0, 1).choose(&[], 3), None);
    }

    /// A thousand draws at temperature two follow the probabilities of halved logits within five standard deviations.
    #[test]
    fn draws_follow_the_probabilities_and_come_again_the_same() {
        let logits = [0.0_f32, 2.0 * 3.0_f32.ln(), f32::NEG_INFINITY];
        let draws = || (0..1000).filter_map(|position| drawing(2.0, 7).choose(&logits, position)).collect::<Vec<_>>();
        let count = |token| draws().iter().filter(|&&drawn| drawn == token).count() as f64;
        assert!((count(1) - 750.0).abs() < 5.0 * 13.7 && count(2) == 0.0, "{}", count(1));
        assert_eq!(draws(), draws());
        let other: Vec<u32> = (0..1000).filter_map(|position| drawing(2.0, 8).choose(&logits, position)).collect();
        assert_ne!(draws(), other);
    }
}
