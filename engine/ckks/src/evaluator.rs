//! The contract that every circuit is written against.

use fhe_ring::IntegerMatrix;

use crate::polynomials::{evaluation::evaluate_plan, plan::ChebyshevPlan};
use crate::{
    CircuitShape, CkksError, OperationCounts, PeriodicMatrix, Plaintext, transforms::slot_transform::SlotTransform,
};

/// Number of rescalings that a slot ciphertext can still take, those of SlotsToCoeffs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Level(pub usize);

/// Rotation of the slots to the left by so many places (negative: right): slot `j` of the result is slot `j + steps`
/// of the argument, cyclically over all slots of its packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rotation(pub i64);

/// In how many slots of each half every value stands: a power of two, one for dense slots. With `n = N / (2 copies)`, slots `j` and
/// `j + n` of one half hold the same value; the coefficients of such a vector stand at the multiples of `copies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Copies(pub usize);

impl Copies {
    /// Dense slots.
    pub const ONE: Self = Self(1);
}

/// How far apart the slots are that hold a value, from the first on: a power of two, one for dense slots. Slots at multiples of `spacing` are those of the
/// first `N / (2 spacing)` coefficients of each half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spacing(pub usize);

/// Which ring a slot ciphertext lives in, and so what its slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Packing {
    /// `N` real slots of the conjugate-invariant ring: where bootstrapping lands and all non-linear work is done. One cyclic group of
    /// rotations runs through all `N` slots, so a rotation that leaves one half of them enters the other.
    Real,
    /// `N/2` complex slots of the cyclotomic ring, for maps that are linear over the complex numbers.
    Complex,
}

/// Slot-wise approximate arithmetic: all that a polynomial needs.
///
/// Slots are `shape().slots(packing)` numbers at a [`Level`]. Every operation that multiplies consumes one level and
/// returns a ciphertext at its canonical scale; operands at different levels are lowered to the smaller one by the
/// operation itself. Operands of one operation have one packing.
pub trait SlotArithmetic: Sync {
    /// Slot ciphertext.
    type Slots: Clone + Send + Sync;

    /// Sizes and levels.
    fn shape(&self) -> &CircuitShape;
    /// Level of a slot ciphertext.
    fn level(&self, x: &Self::Slots) -> Level;
    /// What has been executed so far.
    fn counts(&self) -> OperationCounts;
    /// Whether ciphertexts hold numbers. Without, a circuit is only counted, and integer weights need no entries.
    fn holds_data(&self) -> bool {
        true
    }

    /// Slot-wise sum; no level.
    fn add(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError>;
    /// Slot-wise difference; no level.
    fn subtract(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError>;
    /// Adds a real constant to every slot; no level.
    fn add_constant(&self, a: &Self::Slots, constant: f64) -> Result<Self::Slots, CkksError>;
    /// Multiplies by a small integer; no level.
    fn multiply_integer(&self, a: &Self::Slots, factor: i64) -> Result<Self::Slots, CkksError>;
    /// Slot-wise product, relinearised and rescaled; one level.
    fn multiply(&self, a: &Self::Slots, b: &Self::Slots) -> Result<Self::Slots, CkksError>;
    /// Slot-wise square; one level.
    fn square(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError>;
    /// `sum_i x_i * c_i + constant` with one rescaling; one level below the lowest `x_i`.
    fn linear_combination(&self, terms: &[(&Self::Slots, f64)], constant: f64) -> Result<Self::Slots, CkksError>;
    /// The same slots at a lower level (no effect at the same level, an error upwards).
    fn lower(&self, a: &Self::Slots, level: Level) -> Result<Self::Slots, CkksError>;

    // --- functions -----------------------------------------------------------------------------------------------

    /// A function on `[-1, 1]` of every slot, by its polynomial `plan`. Where [`SlotArithmetic::functions_are_exact`], `function` itself
    /// may be applied, at the level and with the operations of the plan.
    fn apply_function(
        &self,
        x: &Self::Slots,
        plan: &ChebyshevPlan,
        function: &dyn Fn(f64) -> f64,
    ) -> Result<Self::Slots, CkksError> {
        let _ = function;
        self.expect_within_interval(x);
        evaluate_plan(self, x, plan)
    }

    /// Told of every argument of a polynomial that follows its function on `[-1, 1]` alone, before it is evaluated. An evaluator that sees
    /// its numbers may look for those outside ([`crate::Clear::take_excursion`]); no other can.
    fn expect_within_interval(&self, x: &Self::Slots) {
        let _ = x;
    }

    /// Whether functions need no polynomial that follows them: [`crate::Clear::with_exact_functions`], and execution without data.
    fn functions_are_exact(&self) -> bool {
        false
    }

    /// A function of every slot at no level and no operation, which only exact functions allow.
    ///
    /// # Errors
    /// Unless [`SlotArithmetic::functions_are_exact`].
    fn map_exactly(&self, x: &Self::Slots, function: &dyn Fn(f64) -> f64) -> Result<Self::Slots, CkksError> {
        let _ = function;
        if self.functions_are_exact() {
            return Ok(x.clone());
        }
        Err(CkksError::Precondition {
            operation: "map_exactly",
            operand: "evaluator",
            found: "one that computes functions by polynomials".into(),
            required: "exact functions".into(),
            remedy: "run the circuit in the clear, or prepare it with polynomials",
        })
    }
}

/// Approximate arithmetic on packed numbers, implemented by the encrypted scheme over any backend and by [`crate::Clear`].
///
/// Two representations flow through a circuit (a third, module rows, only inside a plaintext-ciphertext product):
///
/// * **Slots** of a [`Packing`], `Real` ones but for complex-linear maps.
/// * **Coefficients**: `shape().degree` real numbers at the lowest modulus, stored as integers `value * unit`.
///
/// Coefficient `p` corresponds to real slot [`CircuitShape::slot_of_coefficient`]`(p)`: the half of `p` stays, the other bits are
/// reversed. In the complex packing the lower half holds the real parts and the upper half the imaginary ones. That is the map of
/// both [`Evaluator::slots_to_coefficients`] and [`Evaluator::half_bootstrap`].
pub trait Evaluator: SlotArithmetic {
    /// Coefficient ciphertext at the lowest modulus.
    type Coefficients: Clone + Send + Sync;
    /// Rows of module ciphertexts, the operand of an integer matrix product.
    type Rows: Send + Sync;
    /// Small ciphertexts that hold one vector, the operand of products with weight polynomials.
    type VectorParts: Send + Sync;

    // --- slots ---------------------------------------------------------------------------------------------------

    /// Packing of a slot ciphertext.
    fn packing(&self, x: &Self::Slots) -> Packing;
    /// Adds a real plaintext vector, one value per slot; no level.
    fn add_plain<'p>(&self, a: &Self::Slots, plain: impl Into<Plaintext<'p>>) -> Result<Self::Slots, CkksError>;
    /// `sum_i x_i * plain_i` (real vectors, one value per slot) with one rescaling; one level below the lowest `x_i`.
    fn plain_combination<'p, P: Into<Plaintext<'p>> + Copy>(
        &self,
        terms: &[(&Self::Slots, P)],
    ) -> Result<Self::Slots, CkksError>;
    /// `sum_i matrix[row][i] * x_i` for every row of a matrix of plaintexts that repeat along the slots, with one rescaling each;
    /// one level below the lowest `x_i`. Beside the products only the encoding of small plaintexts.
    fn periodic_products(
        &self,
        inputs: &[&Self::Slots],
        matrix: &PeriodicMatrix<'_>,
    ) -> Result<Vec<Self::Slots>, CkksError>;
    /// Bytes from which [`Evaluator::restore_slots`] makes the same ciphertext again.
    fn save_slots(&self, a: &Self::Slots) -> Result<Vec<u8>, CkksError>;
    /// Inverse of [`Evaluator::save_slots`].
    fn restore_slots(&self, bytes: &[u8]) -> Result<Self::Slots, CkksError>;
    /// One rotation: one key switch, none for the identity.
    fn rotate(&self, a: &Self::Slots, rotation: Rotation) -> Result<Self::Slots, CkksError>;
    /// Several rotations of one ciphertext sharing its decomposition (hoisting).
    fn rotate_hoisted(&self, a: &Self::Slots, rotations: &[Rotation]) -> Result<Vec<Self::Slots>, CkksError>;
    /// A linear map on real slots of several ciphertexts at one level, by double-hoisted baby and giant steps: the rotations and plaintext products
    /// of its plan, one level. Given together, they share what the map costs to encode.
    fn transform(&self, inputs: &[&Self::Slots], map: &SlotTransform) -> Result<Vec<Self::Slots>, CkksError>;
    /// Complex conjugate of complex slots: one key switch. Refused for real ones.
    fn conjugate(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError>;
    /// Multiplies complex slots by the imaginary unit; free. Refused for real ones.
    fn multiply_imaginary(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError>;

    // --- between packings and representations --------------------------------------------------------------------

    /// Real slots `x_j` as complex slots `x_j + i x_(j + N/2)`: two key switches, one level.
    fn to_complex(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError>;
    /// The inverse: complex slots as their real parts followed by their imaginary parts; two key switches, one level.
    fn to_real(&self, a: &Self::Slots) -> Result<Self::Slots, CkksError>;

    /// SlotsToCoeffs of either packing; takes its levels from `shape()` and ends at the lowest modulus with integer coefficients
    /// `value * unit`.
    fn slots_to_coefficients(&self, slots: &Self::Slots, unit: f64) -> Result<Self::Coefficients, CkksError> {
        self.sparse_slots_to_coefficients(slots, Copies::ONE, unit)
    }

    /// The same for slots in copies, with fewer rotations: the coefficients at multiples of `copies` are those of the average over
    /// the copies; the others are zero if the copies agree, and unspecified if they do not.
    fn sparse_slots_to_coefficients(
        &self,
        slots: &Self::Slots,
        copies: Copies,
        unit: f64,
    ) -> Result<Self::Coefficients, CkksError>;

    /// The same for real slots that are zero but at multiples of `spacing`, with fewer rotations and plaintexts: the first butterflies would only repeat
    /// them, which a rotation for each bit of `spacing` does. What stands between them is added to unspecified coefficients.
    fn spaced_slots_to_coefficients(
        &self,
        slots: &Self::Slots,
        spacing: Spacing,
        unit: f64,
    ) -> Result<Self::Coefficients, CkksError>;

    /// Half bootstrapping (ModRaise, CoeffsToSlots, EvalMod) of each input: the coefficients return as real slots at level
    /// `levels + shape().slots_to_coefficients_levels`. Inputs given together are worked on together, which reads every key
    /// less often; results do not depend on it.
    ///
    /// Slots are normalised: integer coefficient `m` becomes `sin(2 pi r x) / (2 pi r)` with `x = m / shape().full_scale`
    /// and `r = shape().message_ratio`; apply [`crate::correct_sine`] (two levels) where the cubic error matters.
    /// Inputs must satisfy `|x| <= 1`.
    fn half_bootstrap(&self, inputs: &[&Self::Coefficients], levels: usize) -> Result<Vec<Self::Slots>, CkksError> {
        self.sparse_half_bootstrap(inputs, Copies::ONE, levels)
    }

    /// The same for the coefficients at multiples of `copies` alone, whatever the others are: each returns in `copies` slots,
    /// the one of [`CircuitShape::slot_of_coefficient`] and those a multiple of `N / (2 copies)` away in its half.
    fn sparse_half_bootstrap(
        &self,
        inputs: &[&Self::Coefficients],
        copies: Copies,
        levels: usize,
    ) -> Result<Vec<Self::Slots>, CkksError>;

    // --- coefficients --------------------------------------------------------------------------------------------

    /// Integer that stands for the value 1.
    fn unit(&self, a: &Self::Coefficients) -> f64;
    /// Sum; the units must agree to 2^-30 relative.
    fn add_coefficients(&self, a: &Self::Coefficients, b: &Self::Coefficients)
    -> Result<Self::Coefficients, CkksError>;
    /// Multiplies the stored integers, hence the unit, by a positive integer: the same values with more head-room used.
    fn magnify(&self, a: &Self::Coefficients, factor: u64) -> Result<Self::Coefficients, CkksError>;
    /// Bytes from which [`Evaluator::restore`] makes the same ciphertext again.
    fn save(&self, a: &Self::Coefficients) -> Result<Vec<u8>, CkksError>;
    /// Inverse of [`Evaluator::save`].
    fn restore(&self, bytes: &[u8]) -> Result<Self::Coefficients, CkksError>;

    // --- plaintext-ciphertext matrix products --------------------------------------------------------------------

    /// Ring switching and MLWE split of ciphertexts in row-module layout: with `r = shape().degree / tokens`, matrix row
    /// `C * r + row` holds coefficients `row + r * token` of `inputs[C]`. All inputs have one unit.
    fn module_rows(&self, inputs: &[&Self::Coefficients], tokens: usize) -> Result<Self::Rows, CkksError>;
    /// `weights * rows`; `scale` is the integer that stands for the weight 1 and multiplies the unit.
    fn integer_product(&self, weights: &IntegerMatrix, scale: f64, rows: &Self::Rows) -> Result<Self::Rows, CkksError>;
    /// Packs rows back into ciphertexts of `r` rows each (zero rows fill the last one).
    fn pack_rows(&self, rows: &Self::Rows) -> Result<Vec<Self::Coefficients>, CkksError>;
    /// `weights * rows`, packed.
    fn packed_product(
        &self,
        weights: &IntegerMatrix,
        scale: f64,
        rows: &Self::Rows,
    ) -> Result<Vec<Self::Coefficients>, CkksError> {
        self.pack_rows(&self.integer_product(weights, scale, rows)?)
    }

    // --- products of weights and one vector ----------------------------------------------------------------------

    /// Ring switching and split of ciphertexts that hold a vector in `parts` parts of `block` entries, a power of two up to
    /// `shape().small_degree`: with `g = shape().degree / shape().small_degree`, entry `c` of part `J` is coefficient `J mod g + g c` of
    /// `inputs[J div g]`. Coefficients of a part beyond its block must be zero: they would reach other rows of the products. All inputs
    /// have one unit.
    fn split_vector(
        &self,
        inputs: &[&Self::Coefficients],
        block: usize,
        parts: usize,
    ) -> Result<Self::VectorParts, CkksError>;
    /// Every matrix times the vector, `block parts` columns or fewer each, but more than `block (parts - 1)`, and up to `shape().small_degree`
    /// rows; `scale` is the integer that stands for the weight 1 and multiplies the unit.
    ///
    /// The products share ciphertexts, `g` in each: with `h` rows over `shape().small_degree / block`, rounded up, and `stride` the largest power
    /// of two with `h stride <= block`, row `o + h i`, `o < h`, of `weights[C g + j]` is coefficient `j + g (stride o + block i)` of ciphertext
    /// `C`. The other coefficients are zero.
    fn vector_products(
        &self,
        weights: &[IntegerMatrix],
        scale: f64,
        vector: &Self::VectorParts,
    ) -> Result<Vec<Self::Coefficients>, CkksError>;
}

/// The data owner's side of a circuit: what goes in and what comes out.
pub trait Client<E: Evaluator + ?Sized> {
    /// Encrypts `shape().degree` real coefficients at the lowest modulus as integers `value * unit`.
    fn encrypt(&self, coefficients: &[f64], unit: f64) -> Result<E::Coefficients, CkksError>;
    /// Decrypts to values (integers divided by the unit); `None` if the execution holds no data (metering).
    fn decrypt(&self, ciphertext: &E::Coefficients) -> Result<Option<Vec<f64>>, CkksError>;
}
