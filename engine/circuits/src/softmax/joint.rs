//! One SoftMax over encrypted and public keys.
//!
//! Both have their exponentials, of one shift, so that they can be summed; the rounds of [`NormalizeAndSquare`](super::NormalizeAndSquare) divide them by
//! sums over all keys. Sums meet in a place of their own ([`JointSums`]), cross there, and their reciprocals return to both. That takes one
//! level more than reciprocals take beside encrypted keys alone.
//!
//! Public keys are wide: a ciphertext of scores for every few dozen of them. So their exponentials are made block by block ([`JointSoftmax::public_squares`]), and a
//! round takes a square and a product for each block, and nothing else. The last product can be left to what the products with public values make of all
//! blocks ([`LastDivision::OfOutputs`]): a sum divides all keys of a query alike.
//!
//! Source of one normaliser over public and encrypted keys: arXiv 2601.18511, section 4.3.

use fhe_ckks::{CircuitShape, Evaluator};

use super::exponential::{Exponent, MaskedExponential, NormalisedScores};
use super::key_sums::KeyCopies;
use super::normalize_and_square::{MOST_ROUNDS, later_window, round_target};
use super::windows::SLACK;
use super::{Crossing, SoftmaxArgument, SoftmaxPolynomial, SoftmaxWindows, SumReciprocal, by_sets, check_polynomials};
use crate::approximation::{Accuracy, LONG_DEGREES};
use crate::attention::ScoreMap;
use crate::error::{Result, refuse};
use crate::public_attention::{JointSums, KeyRows};
use crate::score_layout::{ScoreContract, ScoreLayout};
use crate::total::total_of;

const OPERATION: &str = "JointSoftmax::new";
const SUM: &str = "reciprocal of a sum of squares in the joint SoftMax";

/// What the products with public keys leave to SoftMax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicContract {
    /// The most levels that their scores can have, corrected and centred in their slots.
    pub score_levels: usize,
    /// Levels that the products with values take, and what follows them but a division.
    pub output_levels: usize,
    /// What the last sums divide.
    pub last_division: LastDivision,
}

/// What the sums of the last round divide; one level in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastDivision {
    /// Every term: probabilities are left.
    OfTerms,
    /// What becomes of the terms: they are left as they are, with factors to multiply outputs by.
    OfOutputs,
}

/// A SoftMax in rounds over scores of encrypted keys in lanes and of public keys.
#[derive(Clone, Debug)]
pub struct JointSoftmax {
    map: ScoreMap,
    own: MaskedExponential,
    public: MaskedExponential,
    rounds: Vec<SumReciprocal>,
    contract: PublicContract,
}

/// The terms of a round: those of encrypted keys by ciphertexts of scores, those of public keys by ciphertexts of queries and blocks.
#[derive(Clone, Debug)]
pub struct JointTerms<S> {
    /// Of encrypted keys.
    pub own: Vec<S>,
    /// Of public keys.
    pub public: Vec<Vec<S>>,
}

/// What SoftMax leaves, by ciphertexts as [`JointTerms`].
#[derive(Clone, Debug)]
pub struct JointProbabilities<S> {
    /// Of encrypted keys.
    pub own: Vec<S>,
    /// Of public keys, `output_levels` of the contract above the lowest; [`LastDivision::OfOutputs`]: not divided, and a level higher.
    pub public: Vec<Vec<S>>,
    /// [`LastDivision::OfOutputs`]: for each ciphertext of queries, what divides its outputs, in all rows of keys, no lower than `public`; else none.
    pub factors: Vec<S>,
}

impl JointSoftmax {
    /// Fits the polynomials; the windows hold for scores of both kinds, and for sums over all keys.
    ///
    /// # Errors
    /// Unless there are 1 to 4 rounds; if a window is empty or a polynomial does not follow its function within the levels.
    pub fn new(
        rounds: usize,
        windows: &SoftmaxWindows,
        head_dim: usize,
        shape: &CircuitShape,
        accuracy: impl Into<Accuracy>,
        (sums, public): (&JointSums, PublicContract),
    ) -> Result<Self> {
        let accuracy = accuracy.into();
        if !(1..=MOST_ROUNDS).contains(&rounds) {
            let required = format!("1 to {MOST_ROUNDS}");
            return Err(refuse(OPERATION, "rounds", rounds, required, "use three rounds, or two"));
        }
        check_polynomials(accuracy)?;
        let contract = ScoreContract::LANES;
        let keys = sums.most_keys() as f64;
        let whole = contract.scores_of_all_pairs;
        let (tight, first) = (windows.tightened(whole)?, windows.first_sum(rounds, keys, whole)?);

        let fraction = 1.0 / f64::from(1_u32 << rounds);
        let unit = fraction * (first.low / keys).sqrt();
        let scores = NormalisedScores::corrected(tight.half_width);
        let exponential = |levels: usize, output_levels: usize| {
            let most_levels = levels.saturating_sub(2 * rounds + output_levels);
            let asked = Exponent { fraction, factor: 1.0, tolerance: accuracy.tolerance, most_levels };
            MaskedExponential::fit(scores, asked, |error| error / unit)
        };
        let own = exponential(shape.compute_levels.saturating_sub(contract.opening_levels), contract.output_levels)?;
        let public_exponential = exponential(public.score_levels, public.output_levels)?;

        let copies = KeyCopies::of(sums.scores(), shape)?;
        let outputs = contract.output_levels.max(public.output_levels);
        let mut window = first;
        let mut all = Vec::with_capacity(rounds);
        for round in 1..=rounds {
            let waiting = JointSums::LEVELS + outputs + 2 * (rounds - round) + 1;
            let target = round_target(round == rounds, accuracy);
            let reciprocal = SumReciprocal::fit_among(&LONG_DEGREES, SUM, window, target, copies, shape, waiting)?;
            window = later_window(&reciprocal, keys);
            all.push(reciprocal);
        }
        let stretched = tight.half_width * (1.0 + SLACK);
        let map = ScoreMap {
            scale: 1.0 / ((head_dim as f64).sqrt() * stretched),
            centres: tight.centres.iter().map(|centre| centre / stretched).collect(),
        };
        Ok(Self { map, own, public: public_exponential, rounds: all, contract: public })
    }

    /// How products of queries and keys (of true values) become normalised scores, of both kinds.
    pub fn score_map(&self) -> &ScoreMap {
        &self.map
    }

    /// The polynomials, in the order of the computation: both exponentials, then the reciprocals.
    pub fn polynomials(&self) -> Vec<SoftmaxPolynomial> {
        let reciprocals = self.rounds.iter().enumerate().map(|(round, reciprocal)| SoftmaxPolynomial {
            argument: SoftmaxArgument::SumOfSquares { round },
            fitted: reciprocal.fitted(),
        });
        [self.own.polynomial(), self.public.polynomial()].into_iter().chain(reciprocals).collect()
    }

    /// The sums of squares of the rounds in order, and their reciprocals.
    pub fn rounds(&self) -> &[SumReciprocal] {
        &self.rounds
    }

    /// Levels from the half bootstrap of scores of encrypted keys to the end of what follows SoftMax.
    pub fn own_score_levels(&self) -> usize {
        let contract = ScoreContract::LANES;
        contract.opening_levels + self.own.levels() + 2 * self.rounds.len() + contract.output_levels
    }

    /// Levels from scores of public keys in slots to the end of what follows SoftMax.
    pub fn public_score_levels(&self) -> usize {
        self.public.levels() + 2 * self.rounds.len() + self.contract.output_levels
    }

    /// The most levels that a half bootstrap of sums must leave.
    pub fn crossing_levels(&self) -> usize {
        self.rounds.iter().map(|round| round.passage().levels).max().unwrap_or(0)
    }

    /// Squares of the exponentials of scores of encrypted keys, the terms of the first round.
    ///
    /// # Errors
    /// If there is another number of scores; those of the evaluator.
    pub fn own_squares<E: Evaluator>(&self, e: &E, sums: &JointSums, scores: &[E::Slots]) -> Result<Vec<E::Slots>> {
        let required = sums.scores().ciphertexts();
        if scores.len() != required {
            let remedy = "use the layout of the scores";
            return Err(refuse("JointSoftmax::own_squares", "ciphertexts", scores.len(), required, remedy));
        }
        squared(e, self.own.apply(e, sums.scores(), scores)?)
    }

    /// Those of the public keys of a block; zero for keys that pad it. Idle slots of the scores must be zero, and come out as anything: no sum looks at them.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn public_squares<E: Evaluator>(
        &self,
        e: &E,
        rows: &KeyRows,
        block: usize,
        scores: &E::Slots,
    ) -> Result<E::Slots> {
        let exponentials = match rows.is_full(block) {
            true => self.public.apply_everywhere(e, scores),
            false => self.public.apply_masked(e, scores, &rows.mask(block)),
        };
        Ok(e.square(&exponentials?)?)
    }

    /// Probabilities from the terms of the first round, each kind where its products want it.
    ///
    /// # Errors
    /// If there is another number of terms; those of the crossing and the evaluator.
    pub fn normalise<E: Evaluator>(
        &self,
        e: &E,
        sums: &JointSums,
        mut terms: JointTerms<E::Slots>,
        crossing: &mut Crossing<'_, E::Slots>,
    ) -> Result<JointProbabilities<E::Slots>> {
        terms.check(sums)?;
        let mut last_factors = Vec::new();
        for (round, reciprocal) in self.rounds.iter().enumerate() {
            if round > 0 {
                terms = terms.mapped(|terms| squared(e, terms))?;
            }
            let own = by_sets(sums.scores(), &terms.own).into_iter().map(|set| sum(e, set));
            let public = terms.public.iter().map(|blocks| sum(e, blocks));
            let met = sums.meet(e, &own.collect::<Result<Vec<_>>>()?, public.collect::<Result<_>>()?)?;
            let factors = reciprocal.of_sums(e, &met, sums.arrivals(), crossing)?;
            terms.own = own_times(e, sums, terms.own, &sums.to_own(e, &factors)?)?;
            let factors = sums.to_public(e, &factors)?;
            if round + 1 == self.rounds.len() && self.contract.last_division == LastDivision::OfOutputs {
                last_factors = factors;
            } else {
                terms.public = public_times(e, terms.public, &factors)?;
            }
        }
        Ok(JointProbabilities { own: terms.own, public: terms.public, factors: last_factors })
    }
}

impl<S> JointTerms<S> {
    fn check(&self, sums: &JointSums) -> Result<()> {
        let blocks = |rows: &KeyRows| rows.blocks();
        let required: Vec<usize> =
            [sums.scores().ciphertexts()].into_iter().chain(sums.key_rows().iter().map(blocks)).collect();
        let found: Vec<usize> = [self.own.len()].into_iter().chain(self.public.iter().map(Vec::len)).collect();
        if found == required {
            return Ok(());
        }
        let (found, required) = (format!("{found:?}"), format!("{required:?}"));
        let remedy = "use the layouts of the scores";
        Err(refuse("JointSoftmax::normalise", "ciphertexts of terms", found, required, remedy))
    }

    fn mapped(self, mut map: impl FnMut(Vec<S>) -> Result<Vec<S>>) -> Result<Self> {
        let Self { own, public } = self;
        Ok(Self { own: map(own)?, public: public.into_iter().map(map).collect::<Result<_>>()? })
    }
}

/// Every term times the factor of its set; terms make room for products one by one.
fn own_times<E: Evaluator>(
    e: &E,
    sums: &JointSums,
    terms: Vec<E::Slots>,
    factors: &[E::Slots],
) -> Result<Vec<E::Slots>> {
    let lengths = sums.scores().set_lengths();
    let factors = factors.iter().zip(lengths).flat_map(|(factor, length)| std::iter::repeat_n(factor, length));
    terms.into_iter().zip(factors).map(|(term, factor)| Ok(e.multiply(&term, factor)?)).collect()
}

/// Every term times the factor of its ciphertext of queries, likewise.
fn public_times<E: Evaluator>(e: &E, terms: Vec<Vec<E::Slots>>, factors: &[E::Slots]) -> Result<Vec<Vec<E::Slots>>> {
    let product = |(blocks, factor): (Vec<E::Slots>, &E::Slots)| {
        blocks.into_iter().map(|term| Ok(e.multiply(&term, factor)?)).collect()
    };
    terms.into_iter().zip(factors).map(product).collect()
}

fn squared<E: Evaluator>(e: &E, roots: Vec<E::Slots>) -> Result<Vec<E::Slots>> {
    roots.into_iter().map(|x| Ok(e.square(&x)?)).collect()
}

fn sum<E: Evaluator>(e: &E, terms: &[E::Slots]) -> Result<E::Slots> {
    total_of(e, terms)?.ok_or_else(|| refuse("JointSoftmax::normalise", "terms", 0, "at least one", "report this"))
}
