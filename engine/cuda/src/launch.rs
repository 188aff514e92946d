//! The kernels and the shapes in which they are launched; `kernels/ABI.md` is the same in prose.

use std::fmt;

use fhe_ring::{Ring, RingKind};

/// An entry point of `kernels/*.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// The fold and the top four layers of a large forward transform.
    ForwardColumns,
    /// The layers of a forward transform within rows.
    ForwardRows,
    /// The layers of an inverse transform within rows.
    InverseRows,
    /// The top four layers, the unfold and the normalisation of a large inverse transform.
    InverseColumns,
    /// The inner product of digits with the two halves of a key's rows.
    GadgetProduct,
}

impl Kernel {
    /// Its name in the source.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForwardColumns => "forward_columns",
            Self::ForwardRows => "forward_rows",
            Self::InverseRows => "inverse_rows",
            Self::InverseColumns => "inverse_columns",
            Self::GadgetProduct => "gadget_product",
        }
    }
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
const GADGET_THREADS: usize = 256;

/// The launches of a forward transform of so many limbs, in order; all have the same arguments.
pub(crate) fn forward_transform(ring: Ring, limbs: usize, arguments: &[u64]) -> Vec<Launch> {
    let rows = rows(Kernel::ForwardRows, ring, limbs, arguments);
    match columns(Kernel::ForwardColumns, ring, limbs, arguments) {
        Some(columns) => vec![columns, rows],
        None => vec![rows],
    }
}

/// The launches of an inverse transform of so many limbs, in order; all have the same arguments.
pub(crate) fn inverse_transform(ring: Ring, limbs: usize, arguments: &[u64]) -> Vec<Launch> {
    let rows = rows(Kernel::InverseRows, ring, limbs, arguments);
    match columns(Kernel::InverseColumns, ring, limbs, arguments) {
        Some(columns) => vec![rows, columns],
        None => vec![rows],
    }
}

/// The launch of a gadget product over so many limbs.
pub(crate) fn gadget_product(ring: Ring, limbs: usize, arguments: Vec<u64>) -> Launch {
    Launch {
        kernel: Kernel::GadgetProduct,
        grid: [ring.degree().div_ceil(GADGET_THREADS) as u32, limbs as u32, 1],
        block: [GADGET_THREADS as u32, 1, 1],
        shared_bytes: 0,
        arguments,
    }
}

/// One block for each row: the whole limb if it fits in shared memory, else one of sixteen.
fn rows(kernel: Kernel, ring: Ring, limbs: usize, arguments: &[u64]) -> Launch {
    let log_rows = if ring.log_degree > MAX_LOG_ROW { LOG_GROUP } else { 0 };
    let words = ring.degree() >> log_rows;
    let groups = words >> LOG_GROUP;
    Launch {
        kernel,
        grid: [1 << log_rows, limbs as u32, 1],
        block: [groups.max(1) as u32, 1, 1],
        // A word of padding after every group.
        shared_bytes: (words + groups) * size_of::<u64>(),
        arguments: arguments.to_vec(),
    }
}

/// One thread for each column of a limb that does not fit in shared memory.
fn columns(kernel: Kernel, ring: Ring, limbs: usize, arguments: &[u64]) -> Option<Launch> {
    (ring.log_degree > MAX_LOG_ROW).then(|| Launch {
        kernel,
        grid: [((ring.degree() >> LOG_GROUP) / COLUMN_THREADS) as u32, limbs as u32, 1],
        block: [COLUMN_THREADS as u32, 1, 1],
        shared_bytes: match ring.kind {
            RingKind::Cyclotomic => 0,
            // For the mirror images that the two columns of a pair exchange.
            RingKind::ConjugateInvariant => (COLUMN_THREADS << LOG_GROUP) * size_of::<u64>(),
        },
        arguments: arguments.to_vec(),
    })
}
