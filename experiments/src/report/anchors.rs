//! Names of places in the page, each given once.

use std::collections::BTreeMap;

/// The names given so far.
#[derive(Default)]
pub(super) struct Anchors(BTreeMap<String, usize>);

impl Anchors {
    /// The name itself the first time, then with a number: two suites may hold records of one identity.
    pub(super) fn take(&mut self, name: &str) -> String {
        let times = self.0.entry(name.into()).or_default();
        *times += 1;
        if *times == 1 { name.into() } else { format!("{name}-{times}") }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_is_given_once() {
        let mut anchors = super::Anchors::default();
        assert_eq!(["a", "b", "a"].map(|name| anchors.take(name)), ["a", "b", "a-2"]);
    }
}
