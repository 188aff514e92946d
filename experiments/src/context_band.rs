//! The lengths of public context that ranges hold behind.
//!
//! The sums over keys that SoftMax divides by grow with the number of public keys. Windows that hold behind contexts of all lengths are
//! therefore wider than a polynomial of few levels carries; those that hold behind contexts of about one length are not.

use std::cmp::Reverse;

use fhe_model::calibration::WindowPlan;

/// Ranges hold behind `least..=most` public tokens, those that are prepended included; `0..=0` is blocks at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextBand {
    /// Fewest public tokens.
    pub least: usize,
    /// Most public tokens.
    pub most: usize,
}

impl ContextBand {
    /// The band that is measured for a context of so many tokens: from three quarters of it, over which sums vary little, to all of it.
    pub fn of(context: usize) -> Self {
        Self { least: context / 4 * 3 + context % 4 * 3 / 4, most: context }
    }

    /// The band that ranges were measured in.
    pub fn measured(plan: &WindowPlan) -> Self {
        Self { least: plan.context_least, most: plan.context }
    }

    /// Whether a context of so many tokens lies in it.
    pub fn contains(self, context: usize) -> bool {
        (self.least..=self.most).contains(&context)
    }

    /// Of the bands that a context of so many tokens lies in, the narrowest; of equally narrow ones that of the shortest contexts.
    pub fn narrowest(bands: impl IntoIterator<Item = Self>, context: usize) -> Option<Self> {
        let fitting = bands.into_iter().filter(|band| band.contains(context));
        fitting.max_by_key(|band| (Reverse(band.most - band.least), Reverse(band.most)))
    }

    /// How the name of a file of ranges tells the band: nothing at the beginning, else `-behind-3968` or `-behind-3072-to-3968`.
    pub fn suffix(self) -> String {
        match (self.least, self.most) {
            (0, 0) => String::new(),
            (0, most) => format!("-behind-{most}"),
            (least, most) => format!("-behind-{least}-to-{most}"),
        }
    }

    /// The band that the name of a file of ranges tells, if it tells one.
    pub fn in_name(name: &str) -> Option<Self> {
        let suffix = name.strip_suffix(".toml")?.rsplit_once("-behind-")?.1;
        let (least, most) = suffix.split_once("-to-").unwrap_or(("0", suffix));
        let band = Self { least: least.parse().ok()?, most: most.parse().ok()? };
        (band.least <= band.most).then_some(band)
    }

    /// The options of `fhe-llama calibrate` that measure in this band, each after a space.
    pub fn options(self) -> String {
        let option = |name, tokens| if tokens == 0 { String::new() } else { format!(" --context-{name} {tokens}") };
        option("tokens", self.most) + &option("least", self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(least: usize, most: usize) -> ContextBand {
        ContextBand { least, most }
    }

    #[test]
    fn a_context_is_measured_from_three_quarters_of_it() {
        assert_eq!([0, 1, 40, 41, 3968].map(|context| ContextBand::of(context).least), [0, 0, 30, 30, 2976]);
        assert_eq!(ContextBand::of(usize::MAX).most, usize::MAX);
    }

    #[test]
    fn names_and_options_tell_the_band() {
        let told = [(band(0, 0), "", ""), (band(0, 40), "-behind-40", " --context-tokens 40")];
        let told =
            told.into_iter().chain([(band(30, 40), "-behind-30-to-40", " --context-tokens 40 --context-least 30")]);
        for (band, suffix, options) in told {
            assert_eq!((band.suffix().as_str(), band.options().as_str()), (suffix, options));
            let named = ContextBand::in_name(&format!("ranges-rotated-after-0{suffix}.toml"));
            assert_eq!(named, (band.most > 0).then_some(band));
        }
    }

    #[test]
    fn rejects_names_that_tell_no_band() {
        for name in
            ["ranges.toml", "ranges-behind-.toml", "ranges-behind-4-to-3.toml", "ranges-behind-1-to-2-to-3.toml"]
        {
            assert_eq!(ContextBand::in_name(name), None, "{name}");
        }
        assert_eq!(ContextBand::in_name("ranges-behind-40.toml.partial"), None);
    }

    #[test]
    fn the_narrowest_band_around_a_context_is_taken() {
        let bands = [band(0, 60), band(30, 50), band(20, 40), band(36, 40)];
        let narrowest = |context| ContextBand::narrowest(bands, context);
        assert_eq!(narrowest(38), Some(band(36, 40)));
        assert_eq!(narrowest(35), Some(band(20, 40)), "as narrow as the other, behind fewer tokens");
        assert_eq!(narrowest(45), Some(band(30, 50)));
        assert_eq!(narrowest(10), Some(band(0, 60)));
        assert_eq!(narrowest(61), None);
    }
}
