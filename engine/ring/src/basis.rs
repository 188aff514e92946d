//! Which primes of the chain a polynomial is reduced by.

use std::fmt;

/// A set of primes of one [`crate::PrimeChain`]: any subset of the ciphertext primes and the first few special primes.
///
/// Subsets with gaps are what a truncated raise needs: the primes of unused compute levels are simply absent.
/// Limbs are stored in the order of [`Basis::indices`]: ciphertext primes ascending, then special primes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Basis {
    ciphertext: u64,
    special: u8,
}

/// Position of a prime in the chain; special primes follow the ciphertext primes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrimeIndex {
    /// The i-th ciphertext prime `q_i`.
    Ciphertext(usize),
    /// The i-th special prime `p_i`.
    Special(usize),
}

impl Basis {
    /// `q_0 .. q_(count-1)`, no special prime.
    pub const fn prefix(count: usize) -> Self {
        assert!(count <= 63);
        Self { ciphertext: (1 << count) - 1, special: 0 }
    }

    /// The ciphertext primes with the given positions, no special prime.
    pub fn of(indices: impl IntoIterator<Item = usize>) -> Self {
        Self { ciphertext: indices.into_iter().fold(0, |mask, i| mask | 1 << i), special: 0 }
    }

    /// The same ciphertext primes with the first `count` special primes.
    pub const fn with_special(self, count: usize) -> Self {
        Self { ciphertext: self.ciphertext, special: count as u8 }
    }

    /// The same ciphertext primes without special primes.
    pub const fn without_special(self) -> Self {
        self.with_special(0)
    }

    /// Number of ciphertext primes.
    pub const fn ciphertext_count(self) -> usize {
        self.ciphertext.count_ones() as usize
    }

    /// Number of special primes.
    pub const fn special_count(self) -> usize {
        self.special as usize
    }

    /// Number of limbs.
    pub const fn len(self) -> usize {
        self.ciphertext_count() + self.special_count()
    }

    /// Whether there is no prime at all.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The highest ciphertext prime, the one that a rescaling divides by.
    pub const fn last(self) -> Option<usize> {
        if self.ciphertext == 0 { None } else { Some(63 - self.ciphertext.leading_zeros() as usize) }
    }

    /// Without the highest ciphertext prime.
    pub fn without_last(self) -> Self {
        match self.last() {
            Some(last) => Self { ciphertext: self.ciphertext & !(1 << last), special: self.special },
            None => self,
        }
    }

    /// Whether the ciphertext prime `q_i` is present.
    pub const fn has_ciphertext_prime(self, index: usize) -> bool {
        self.ciphertext >> index & 1 == 1
    }

    /// Whether every prime of `other` is here too.
    pub const fn contains(self, other: Self) -> bool {
        other.ciphertext & !self.ciphertext == 0 && other.special <= self.special
    }

    /// Primes in either.
    pub const fn union(self, other: Self) -> Self {
        Self {
            ciphertext: self.ciphertext | other.ciphertext,
            special: if self.special > other.special { self.special } else { other.special },
        }
    }

    /// Ciphertext primes that lie in positions `start..end`, no special prime.
    pub fn range(self, start: usize, end: usize) -> Self {
        Self::of(self.ciphertext_indices().filter(|i| (start..end).contains(i)))
    }

    /// Cut into groups of so many consecutive positions (at least one); groups of which no prime is present are empty.
    pub fn groups_of(self, width: usize) -> Vec<Self> {
        let end = self.last().map_or(0, |last| last / width + 1);
        (0..end).map(|group| self.range(group * width, (group + 1) * width)).collect()
    }

    /// The gadget digits under a partition of the chain: the number of each group of which a prime is present, and the
    /// primes of it that are.
    pub fn digits(self, groups: &[Self]) -> impl Iterator<Item = (usize, Self)> {
        (groups.iter().enumerate())
            .map(move |(number, group)| (number, self.intersection(*group)))
            .filter(|(_, digit)| !digit.is_empty())
    }

    /// Ciphertext primes in both, no special prime.
    pub const fn intersection(self, other: Self) -> Self {
        Self { ciphertext: self.ciphertext & other.ciphertext, special: 0 }
    }

    /// Positions of the ciphertext primes, ascending.
    pub fn ciphertext_indices(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |&i| self.has_ciphertext_prime(i))
    }

    /// All primes in the order in which limbs are stored.
    pub fn indices(self) -> impl Iterator<Item = PrimeIndex> {
        self.ciphertext_indices().map(PrimeIndex::Ciphertext).chain((0..self.special_count()).map(PrimeIndex::Special))
    }

    /// Limb position of a prime, if present.
    pub fn position(self, prime: PrimeIndex) -> Option<usize> {
        match prime {
            PrimeIndex::Ciphertext(i) => {
                self.has_ciphertext_prime(i).then(|| (self.ciphertext & ((1u64 << i) - 1)).count_ones() as usize)
            }
            PrimeIndex::Special(i) => (i < self.special_count()).then(|| self.ciphertext_count() + i),
        }
    }
}

impl fmt::Display for PrimeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrimeIndex::Ciphertext(i) => write!(f, "q{i}"),
            PrimeIndex::Special(i) => write!(f, "p{i}"),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{")?;
        for (position, prime) in self.indices().enumerate() {
            write!(f, "{}{prime}", if position == 0 { "" } else { " " })?;
        }
        write!(f, "}}")
    }
}
