//! Predicted seconds: counts times the measured constants of a named device.

use crate::Counts;

/// What a device needs per unit of work.
///
/// A prediction is the sum of two times: that of the arithmetic, shared by all threads, and that of moving keys, stored factors
/// and polynomials between kernels and memory. `cargo bench -p fhe-ring --bench profile` fits the constants to kernels of
/// real size. Fresh memory, synchronisation and what caches save are left out. Label a prediction as such wherever it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceProfile {
    /// The device's name.
    pub name: &'static str,
    /// Threads that share the work.
    pub threads: u32,
    /// Seconds of one thread per butterfly of a transform.
    pub butterfly: f64,
    /// Seconds of one thread per MAC of a base conversion.
    pub base_conversion_mac: f64,
    /// Seconds of one thread per MAC of a gadget product.
    pub gadget_mac: f64,
    /// Seconds of one thread per MAC of a point-wise product or of a sum with constant factors.
    pub product_mac: f64,
    /// Seconds of one thread per word of sums, scalings and the like.
    pub elementwise_word: f64,
    /// Seconds of one thread per copied or permuted word.
    pub copied_word: f64,
    /// Seconds of one thread per MAC of an integer matrix product modulo a 50-bit prime, weights of 13 bits.
    pub integer_mac: f64,
    /// Seconds of one thread per MAC of a matrix product of ciphertexts over a subring.
    pub lane_mac: f64,
    /// Seconds of one thread per MAC of a structured matrix product modulo such a prime.
    pub structured_mac: f64,
    /// Seconds of one thread per byte of plaintexts encoded and handed to the backend.
    pub encoded_byte: f64,
    /// Bytes per second that all threads together move.
    pub memory_bandwidth: f64,
}

/// Multiprocessors and clock of the GPU whose times all GPUs are derived from.
const H100_MULTIPROCESSORS: f64 = 132.0;
const H100_GIGAHERTZ: f64 = 1.98;

/// Words of the limb and butterflies of the transform in whose times the constants are given: N = 2^16.
const LIMB: f64 = 65536.0;
const LIMB_BUTTERFLIES: f64 = LIMB / 2.0 * 16.0;

impl DeviceProfile {
    /// One thread of a server CPU with 512-bit IFMA on a 256-bit data path (Zen 4, 2 virtual cores), as the bench `profile` printed it.
    /// A zero means that memory hides the arithmetic. The MACs of products with weights are from processor time, on a busy machine. Encoding is not among its kernels.
    pub const ZEN4_1_THREAD: Self = Self {
        name: "zen4-1-thread",
        threads: 1,
        butterfly: 125.7e-6 / LIMB_BUTTERFLIES,
        base_conversion_mac: 24.3e-6 / LIMB,
        gadget_mac: 24.9e-6 / LIMB,
        product_mac: 10.1e-6 / LIMB,
        elementwise_word: 0.0,
        copied_word: 26.2e-6 / LIMB,
        integer_mac: 3.3e-6 / LIMB,
        lane_mac: 6.2e-6 / LIMB,
        structured_mac: 6.2e-6 / LIMB,
        encoded_byte: 1.9e-9,
        memory_bandwidth: 21.4e9,
    };

    /// Two threads of the same CPU, likewise.
    pub const ZEN4_2_THREADS: Self = Self {
        name: "zen4-2-threads",
        threads: 2,
        butterfly: 120.2e-6 / LIMB_BUTTERFLIES,
        base_conversion_mac: 26.8e-6 / LIMB,
        gadget_mac: 26.6e-6 / LIMB,
        product_mac: 0.0,
        elementwise_word: 0.0,
        copied_word: 0.0,
        integer_mac: 3.3e-6 / LIMB,
        lane_mac: 6.2e-6 / LIMB,
        structured_mac: 6.2e-6 / LIMB,
        encoded_byte: 1.9e-9,
        memory_bandwidth: 28.8e9,
    };

    /// An NVIDIA H100 of 80 GB (SXM): transforms, base conversions and gadget products by the times of these kernels at full width, bandwidth
    /// by its copy, as `kernels/MEASURED.md` has them. A half bootstrap of `n16-llama` is then predicted 21 ms and took 22. Kernels of
    /// matrix products have not been timed there: 4 and 6 multiply-adds of 32 bits a MAC, 64 a cycle and multiprocessor.
    pub const H100: Self = Self::gpu("h100", H100_MULTIPROCESSORS, H100_GIGAHERTZ, 3_350.0);

    /// An NVIDIA RTX 4090: the H100's times by multiprocessors and boost clock, its share of the peak bandwidth (data sheet: 128, 2.52 GHz,
    /// 1,008 GB/s). Not measured.
    pub const RTX_4090: Self = Self::gpu("rtx-4090", 128.0, 2.52, 1_008.0);

    /// An NVIDIA RTX PRO 6000 Blackwell, likewise (data sheet: 188, 2.6 GHz, 1,792 GB/s). Not measured.
    pub const RTX_PRO_6000: Self = Self::gpu("rtx-pro-6000", 188.0, 2.6, 1_792.0);

    /// An NVIDIA B200, likewise (data sheet: 148, 1.965 GHz, 8,000 GB/s). Not measured.
    pub const B200: Self = Self::gpu("b200", 148.0, 1.965, 8_000.0);

    /// Every named device.
    pub const ALL: [Self; 6] =
        [Self::ZEN4_1_THREAD, Self::ZEN4_2_THREADS, Self::H100, Self::RTX_4090, Self::RTX_PRO_6000, Self::B200];

    /// A GPU with the H100's kernels, from its multiprocessors, their clock in GHz and the peak bandwidth in GB/s.
    const fn gpu(name: &'static str, multiprocessors: f64, gigahertz: f64, peak: f64) -> Self {
        let of_h100 = H100_MULTIPROCESSORS * H100_GIGAHERTZ / (multiprocessors * gigahertz);
        let multiply_add = 1e-9 / (64.0 * multiprocessors * gigahertz);
        Self {
            name,
            threads: 1,
            butterfly: 2.9e-12 * of_h100,
            base_conversion_mac: 1.4e-12 * of_h100,
            gadget_mac: 3.5e-12 * of_h100,
            // Memory hides the arithmetic of what goes word by word.
            product_mac: 0.0,
            elementwise_word: 0.0,
            copied_word: 0.0,
            integer_mac: 4.0 * multiply_add,
            lane_mac: 6.0 * multiply_add,
            structured_mac: 6.0 * multiply_add,
            // The host encodes, on sixteen cores.
            encoded_byte: 1.9e-9 / 16.0,
            // The H100's copy reaches nine tenths of its peak.
            memory_bandwidth: 0.9e9 * peak,
        }
    }

    /// The device of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Predicted seconds for the work.
    pub fn predict(&self, counts: &Counts) -> f64 {
        let arithmetic: f64 = [
            (counts.butterflies, self.butterfly),
            (counts.base_conversion_macs, self.base_conversion_mac),
            (counts.gadget_macs, self.gadget_mac),
            (counts.product_macs, self.product_mac),
            (counts.elementwise_words, self.elementwise_word),
            (counts.copied_words, self.copied_word),
            (counts.integer_product_macs, self.integer_mac),
            (counts.lane_product_macs, self.lane_mac),
            (counts.structured_product_macs, self.structured_mac),
            (counts.uploaded_bytes, self.encoded_byte),
        ]
        .iter()
        .map(|&(amount, seconds)| amount as f64 * seconds)
        .sum();
        arithmetic / f64::from(self.threads) + counts.moved_bytes() as f64 / self.memory_bandwidth
    }
}
