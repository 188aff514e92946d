//! Predicted seconds: counts times the measured constants of a named device.

use crate::Counts;

/// What a device needs per unit of work.
///
/// A prediction covers transforms, base conversions, gadget products, point-wise and integer products, and the streams
/// of keys and plaintexts. It leaves out element-wise passes, permutations, copies, cache misses and synchronisation;
/// measured runs of the same counts take more, up to 1.75 times as long. Label it *predicted* wherever it is shown.
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
    /// Seconds of one thread per MAC of a gadget product with everything in cache.
    pub gadget_mac: f64,
    /// Seconds of one thread per MAC of a point-wise product with everything in cache.
    pub product_mac: f64,
    /// Seconds of one thread per MAC of an integer matrix product modulo a 50-bit prime.
    pub integer_mac: f64,
    /// Bytes per second that all threads together stream from memory.
    pub memory_bandwidth: f64,
}

/// Words of the limb and butterflies of the transform for which the constants were measured: N = 2^16.
const LIMB: f64 = 65536.0;
const LIMB_BUTTERFLIES: f64 = LIMB / 2.0 * 16.0;

impl DeviceProfile {
    /// One thread of a server CPU with 512-bit IFMA (Zen 5 class, 2 virtual cores): 77 us per transform of 2^16 words,
    /// 4.6 us per limb of base-conversion MACs, 9.8 us of gadget MACs, 4.9 us of plaintext MACs, 48 GFLOP/s of
    /// double-precision matrix products (two multiply-adds per modular MAC), 15 GB/s of memory.
    pub const IFMA_CPU_1_THREAD: Self = Self {
        name: "ifma-cpu-1-thread",
        threads: 1,
        butterfly: 77e-6 / LIMB_BUTTERFLIES,
        base_conversion_mac: 4.6e-6 / LIMB,
        gadget_mac: 9.8e-6 / LIMB,
        product_mac: 4.9e-6 / LIMB,
        integer_mac: 4.0 / 48e9,
        memory_bandwidth: 15e9,
    };

    /// Two threads of the same CPU, which share 25 GB/s of memory.
    pub const IFMA_CPU_2_THREADS: Self =
        Self { name: "ifma-cpu-2-threads", threads: 2, memory_bandwidth: 25e9, ..Self::IFMA_CPU_1_THREAD };

    /// Every named device.
    pub const ALL: [Self; 2] = [Self::IFMA_CPU_1_THREAD, Self::IFMA_CPU_2_THREADS];

    /// The device of that name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Predicted seconds for the work. Products that stream keys or plaintexts cost the larger of their arithmetic and
    /// their memory traffic.
    pub fn predict(&self, counts: &Counts) -> f64 {
        let arithmetic = |terms: &[(u64, f64)]| {
            terms.iter().map(|&(amount, seconds)| amount as f64 * seconds).sum::<f64>() / f64::from(self.threads)
        };
        let in_cache = arithmetic(&[
            (counts.butterflies, self.butterfly),
            (counts.base_conversion_macs, self.base_conversion_mac),
            (counts.integer_product_macs, self.integer_mac),
        ]);
        let streaming = arithmetic(&[(counts.gadget_macs, self.gadget_mac), (counts.product_macs, self.product_mac)]);
        let traffic = (counts.key_bytes + counts.plaintext_bytes) as f64 / self.memory_bandwidth;
        in_cache + streaming.max(traffic)
    }
}
