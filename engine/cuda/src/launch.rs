//! The kernels and the shapes in which they are launched; `kernels/ABI.md` is the same in prose.

use std::fmt;

use fhe_ring::{MatrixShape, Ring};

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
    /// A forward transform of a small limb.
    ForwardLimb = "forward_limb",
    /// The fold and the layers of a large forward transform above rows.
    ForwardTop = "forward_top",
    /// The layers of a large forward transform within rows.
    ForwardBottom = "forward_bottom",
    /// The same, and the end of a division.
    ForwardBottomOfDivision = "forward_bottom_of_division",
    /// An inverse transform of a small limb.
    InverseLimb = "inverse_limb",
    /// The layers of a large inverse transform within rows.
    InverseBottom = "inverse_bottom",
    /// The layers of a large inverse transform above rows, the unfold and the normalisation.
    InverseTop = "inverse_top",
    /// Copies of limbs.
    CopyLimbs = "copy_limbs",
    /// Residues of signed integers.
    ReduceSigned = "reduce_signed",
    /// Uniform residues from seeds.
    UniformLimbs = "uniform_limbs",
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
    /// A centred conversion from one prime.
    ConvertLimb = "convert_limb",
    /// The end of an exact division.
    SubtractFromAndScale = "subtract_from_and_scale",
    /// The inner product of digits with the two halves of a key's rows.
    GadgetProduct = "gadget_product",
    /// The limbs of operands.
    FindLimbs = "find_limbs",
    /// Sums of rotated ciphertexts times plaintexts.
    HoistedSums = "hoisted_sums",
    /// Layers of a forward transform of rows over a subring.
    ForwardLanes = "forward_lanes",
    /// Layers of an inverse transform of rows over a subring.
    InverseLanes = "inverse_lanes",
    /// Matrix products of ciphertexts at the points of a subring.
    LaneProducts = "lane_products",
    /// Ciphertexts times factors from a subring.
    SubringSums = "subring_sums",
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
    /// Polynomials of integer weights.
    WeightPolynomials = "weight_polynomials",
    /// A product of an integer matrix with module rows that are not written down.
    ModuleProduct = "module_product",
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

/// Binary logarithm of the largest degree that the transforms reach: 256 rows of 256 words.
pub(crate) const MAX_LOG_DEGREE: u32 = 2 * LOG_ROW;

/// Binary logarithm of the longest limb that a block holds in shared memory.
const MAX_LOG_SMALL: u32 = 12;
/// Layers that a thread of a transform runs before words change hands.
pub(crate) const GROUP: u32 = 4;
/// Words that a thread of a transform has.
const GROUP_WORDS: usize = 1 << GROUP;
/// Binary logarithm of a row of a larger limb.
const LOG_ROW: u32 = 8;
const BOTTOM_THREADS: usize = 128;
const TILE_COLUMNS: usize = 16;
const WORD_THREADS: usize = 256;
const CONVERSION_THREADS: usize = 128;
const CONVERSION_TARGETS: usize = 16;
const HOISTED_SUMS: usize = 4;
const SUBRING_SUMS: usize = 4;
const PRODUCT_ROWS: usize = 8;
/// Shared memory that every device grants a block.
const SHARED_BYTES: usize = 48 << 10;

/// A thread for each word of each limb.
pub(crate) fn words(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    tiled(kernel, ring.degree(), limbs, arguments)
}

/// A block for each limb.
pub(crate) fn uniform_limbs(limbs: usize, arguments: Vec<u64>) -> Launch {
    Launch {
        kernel: Kernel::UniformLimbs,
        grid: [1, limbs as u32, 1],
        block: [WORD_THREADS as u32, 1, 1],
        // A count for each thread.
        shared_bytes: WORD_THREADS * size_of::<u64>(),
        arguments,
    }
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
    // A modulus for each target.
    let fixed = 4 * CONVERSION_TARGETS;
    let mut block = CONVERSION_THREADS.min(ring.degree());
    while block > 1 && (block * words_of_thread + fixed) * size_of::<u64>() > SHARED_BYTES {
        block /= 2;
    }
    Launch {
        kernel: Kernel::ConvertBasis,
        grid: [(ring.degree() / block) as u32, targets.div_ceil(CONVERSION_TARGETS) as u32, 1],
        block: [block as u32, 1, 1],
        shared_bytes: (block * words_of_thread + fixed) * size_of::<u64>(),
        arguments,
    }
}

/// A thread for each limb of each operand.
pub(crate) fn find_limbs(operands: usize, limbs: usize, arguments: Vec<u64>) -> Launch {
    tiled(Kernel::FindLimbs, operands.next_multiple_of(WORD_THREADS), limbs, arguments)
}

/// A thread for each word of each group of sums of each input.
pub(crate) fn hoisted_sums(ring: Ring, limbs: usize, inputs: usize, sums: usize, arguments: Vec<u64>) -> Launch {
    let Launch { grid: [blocks, ..], block, .. } = words(Kernel::HoistedSums, ring, limbs, Vec::new());
    let grid = [blocks * inputs as u32, limbs as u32, sums.div_ceil(HOISTED_SUMS) as u32];
    Launch { kernel: Kernel::HoistedSums, grid, block, shared_bytes: 0, arguments }
}

/// A thread for each meeting of `2^layers` words of each limb of so many polynomials.
pub(crate) fn lanes(
    kernel: Kernel,
    ring: Ring,
    layers: u32,
    limbs: usize,
    polynomials: usize,
    arguments: Vec<u64>,
) -> Launch {
    let mut launch = tiled(kernel, ring.degree() >> layers, limbs, arguments);
    launch.grid[0] *= polynomials as u32;
    launch
}

/// A thread for each word of each limb of so many rows of a product.
pub(crate) fn lane_products(ring: Ring, limbs: usize, rows: usize, arguments: Vec<u64>) -> Launch {
    lanes(Kernel::LaneProducts, ring, 0, limbs, rows, arguments)
}

/// A thread for each word of each group of sums.
pub(crate) fn subring_sums(ring: Ring, limbs: usize, sums: usize, arguments: Vec<u64>) -> Launch {
    let mut launch = words(Kernel::SubringSums, ring, limbs, arguments);
    launch.grid[2] = sums.div_ceil(SUBRING_SUMS) as u32;
    launch
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

/// A thread for each column of each group of rows of the result; for [`Kernel::IntegerProduct`] and [`Kernel::ModuleProduct`].
pub(crate) fn matrix_product(kernel: Kernel, result: MatrixShape, arguments: Vec<u64>) -> Launch {
    Launch {
        kernel,
        grid: [result.columns.div_ceil(WORD_THREADS) as u32, result.rows.div_ceil(PRODUCT_ROWS) as u32, 1],
        block: [WORD_THREADS as u32, 1, 1],
        shared_bytes: 0,
        arguments,
    }
}

/// Whether a transform in this ring takes two launches, the second of which works in place.
pub(crate) fn is_large(ring: Ring) -> bool {
    ring.log_degree > MAX_LOG_SMALL
}

/// A block for each limb, a thread for each group of its words.
pub(crate) fn small_transform(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    let groups = ring.degree() / GROUP_WORDS;
    Launch {
        kernel,
        grid: [1, limbs as u32, 1],
        block: [groups.max(1) as u32, 1, 1],
        // A word of padding after every group.
        shared_bytes: (ring.degree() + groups) * size_of::<u64>(),
        arguments,
    }
}

/// A thread for each group of words of a row.
pub(crate) fn bottom(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    let words = BOTTOM_THREADS * GROUP_WORDS;
    Launch {
        kernel,
        grid: [(ring.degree() / words) as u32, limbs as u32, 1],
        block: [BOTTOM_THREADS as u32, 1, 1],
        // A word of padding after every group, and a multiplier for each thread.
        shared_bytes: (words + 3 * BOTTOM_THREADS) * size_of::<u64>(),
        arguments,
    }
}

/// A block for each tile of columns, with a thread for each of its rows.
pub(crate) fn top(kernel: Kernel, ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    let rows = ring.degree() >> LOG_ROW;
    Launch {
        kernel,
        grid: [((1 << LOG_ROW) / TILE_COLUMNS) as u32, limbs as u32, 1],
        block: [rows as u32, 1, 1],
        // And a multiplier for each thread.
        shared_bytes: rows * (TILE_COLUMNS + 2) * size_of::<u64>(),
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
