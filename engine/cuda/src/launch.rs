//! The kernels and the shapes in which they are launched; `kernels/ABI.md` is the same in prose.

use std::fmt;

use fhe_ring::{MatrixShape, Ring, RingKind};

macro_rules! kernels {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// An entry point of `kernels/*.cu`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kernel {
            $($(#[$doc])* $variant,)*
        }

        impl Kernel {
            /// Every kernel.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in the source.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kernels! {
    /// The fold and the top four layers of a large forward transform.
    ForwardColumns = "forward_columns",
    /// The layers of a forward transform within rows.
    ForwardRows = "forward_rows",
    /// The layers of an inverse transform within rows.
    InverseRows = "inverse_rows",
    /// The top four layers, the unfold and the normalisation of a large inverse transform.
    InverseColumns = "inverse_columns",
    /// Copies of limbs.
    CopyLimbs = "copy_limbs",
    /// A sum, in place.
    AddAssign = "add_assign",
    /// A difference, in place.
    SubtractAssign = "subtract_assign",
    /// The additive inverse, in place.
    Negate = "negate_words",
    /// A product of values.
    Multiply = "multiply_words",
    /// A product of values, added.
    MultiplyAccumulate = "multiply_accumulate",
    /// A product with a constant for each limb.
    Scale = "scale",
    /// A sum with a constant for each limb.
    AddConstant = "add_constant",
    /// A sum of polynomials times constants.
    LinearCombination = "linear_combination",
    /// The product of two ciphertexts.
    Tensor = "tensor",
    /// An automorphism on values.
    AutomorphismOfValues = "automorphism_of_values",
    /// An automorphism on values, added.
    AccumulateAutomorphism = "accumulate_automorphism",
    /// An automorphism on coefficients.
    AutomorphismOfCoefficients = "automorphism_of_coefficients",
    /// A product of coefficients with a monomial.
    MonomialProductOfCoefficients = "monomial_product_of_coefficients",
    /// A product of values with a monomial.
    MonomialProductOfValues = "monomial_product_of_values",
    /// The trace from the cyclotomic to the conjugate-invariant ring.
    Trace = "trace",
    /// The way back, by the parity of exponents.
    ParitySplit = "parity_split",
    /// A centred conversion between bases.
    ConvertBasis = "convert_basis",
    /// The end of an exact division.
    SubtractFromAndScale = "subtract_from_and_scale",
    /// The inner product of digits with the two halves of a key's rows.
    GadgetProduct = "gadget_product",
    /// Sums of rotated ciphertexts times plaintexts.
    HoistedSums = "hoisted_sums",
    /// Every so many words.
    GatherStrided = "gather_strided",
    /// To every so many words.
    ScatterStrided = "scatter_strided",
    /// The module rows of ciphertexts.
    ModuleRows = "module_rows",
    /// A polynomial from module rows.
    GatherRows = "gather_rows",
    /// A product with an integer matrix.
    IntegerProduct = "integer_product",
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// What to run.
    pub kernel: Kernel,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory per block.
    pub shared_bytes: usize,
    /// The arguments, a word each: addresses and numbers.
    pub arguments: Vec<u64>,
}

/// Binary logarithm of the largest degree that the transforms reach: columns of 16 words times rows of `2^12`.
pub(crate) const MAX_LOG_DEGREE: u32 = LOG_GROUP + MAX_LOG_ROW;

/// Layers that a thread runs on `2^LOG_GROUP` words in registers, and binary logarithm of a column's length.
const LOG_GROUP: u32 = 4;
/// Binary logarithm of the longest row that a block holds in shared memory.
const MAX_LOG_ROW: u32 = 12;
const COLUMN_THREADS: usize = 128;
const WORD_THREADS: usize = 256;
const CONVERSION_THREADS: usize = 128;
const CONVERSION_TARGETS: usize = 8;
const HOISTED_SUMS: usize = 8;
const PRODUCT_ROWS: usize = 8;
/// Shared memory that every device grants a block.
const SHARED_BYTES: usize = 48 << 10;

/// A thread for each word of each limb.
pub(crate) fn words(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    tiled(kernel, ring.degree(), limbs, arguments)
}

/// A thread for each pair of words of each limb.
pub(crate) fn pairs(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    tiled(kernel, ring.degree() / 2, limbs, arguments)
}

/// At least so many threads in a row.
pub(crate) fn line(kernel: Kernel, threads: usize, arguments: Vec<u64>) -> Launch {
    tiled(kernel, threads.next_multiple_of(WORD_THREADS), 1, arguments)
}

/// A thread for each coefficient of each group of target primes.
pub(crate) fn conversion(ring: Ring, sources: usize, targets: usize, arguments: Vec<u64>) -> Launch {
    let words_of_thread = sources + 1;
    let mut block = CONVERSION_THREADS.min(ring.degree());
    while block > 1 && block * words_of_thread * size_of::<u64>() > SHARED_BYTES {
        block /= 2;
    }
    Launch {
        kernel: Kernel::ConvertBasis,
        grid: [(ring.degree() / block) as u32, targets.div_ceil(CONVERSION_TARGETS) as u32, 1],
        block: [block as u32, 1, 1],
        shared_bytes: block * words_of_thread * size_of::<u64>(),
        arguments,
    }
}

/// A thread for each word of both halves of each group of sums of each input.
pub(crate) fn hoisted_sums(ring: Ring, limbs: usize, inputs: usize, sums: usize, arguments: Vec<u64>) -> Launch {
    let Launch { grid: [blocks, ..], block, .. } = words(Kernel::HoistedSums, ring, limbs, Vec::new());
    let grid = [blocks * 2 * inputs as u32, limbs as u32, sums.div_ceil(HOISTED_SUMS) as u32];
    Launch { kernel: Kernel::HoistedSums, grid, block, shared_bytes: 0, arguments }
}

/// A thread for each entry of the larger of two matrices of so many rows.
pub(crate) fn module_rows(rows: usize, columns: usize, arguments: Vec<u64>) -> Launch {
    let block = WORD_THREADS.min(columns);
    Launch {
        kernel: Kernel::ModuleRows,
        grid: [rows as u32, columns.div_ceil(block) as u32, 1],
        block: [block as u32, 1, 1],
        shared_bytes: 0,
        arguments,
    }
}

/// A thread for each column of each group of rows of the result.
pub(crate) fn integer_product(result: MatrixShape, arguments: Vec<u64>) -> Launch {
    Launch {
        kernel: Kernel::IntegerProduct,
        grid: [result.columns.div_ceil(WORD_THREADS) as u32, result.rows.div_ceil(PRODUCT_ROWS) as u32, 1],
        block: [WORD_THREADS as u32, 1, 1],
        shared_bytes: 0,
        arguments,
    }
}

/// Whether a transform in this ring takes two launches, the second of which works in place.
pub(crate) fn has_columns(ring: Ring) -> bool {
    ring.log_degree > MAX_LOG_ROW
}

/// One block for each row: the whole limb if it fits in shared memory, else one of sixteen.
pub(crate) fn rows(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    let log_rows = if has_columns(ring) { LOG_GROUP } else { 0 };
    let words = ring.degree() >> log_rows;
    let groups = words >> LOG_GROUP;
    Launch {
        kernel,
        grid: [1 << log_rows, limbs as u32, 1],
        block: [groups.max(1) as u32, 1, 1],
        // A word of padding after every group.
        shared_bytes: (words + groups) * size_of::<u64>(),
        arguments,
    }
}

/// One thread for each column of a limb that does not fit in shared memory.
pub(crate) fn columns(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    Launch {
        kernel,
        grid: [((ring.degree() >> LOG_GROUP) / COLUMN_THREADS) as u32, limbs as u32, 1],
        block: [COLUMN_THREADS as u32, 1, 1],
        shared_bytes: match ring.kind {
            RingKind::Cyclotomic => 0,
            // For the mirror images that the two columns of a pair exchange.
            RingKind::ConjugateInvariant => (COLUMN_THREADS << LOG_GROUP) * size_of::<u64>(),
        },
        arguments,
    }
}

/// Full blocks that tile `width` threads, a power of two or a multiple of a block, for each limb.
fn tiled(kernel: Kernel, width: usize, limbs: usize, arguments: Vec<u64>) -> Launch {
    let block = WORD_THREADS.min(width);
    Launch {
        kernel,
        grid: [(width / block) as u32, limbs as u32, 1],
        block: [block as u32, 1, 1],
        shared_bytes: 0,
        arguments,
    }
}
