// The kernels as a shared library for the host, with a C interface that checks a launch and runs it.
#include "cuda.hpp"

#include "../base_conversion.cu"
#include "../element_wise.cu"
#include "../gadget_product.cu"
#include "../hoisted_sums.cu"
#include "../lanes.cu"
#include "../large_transforms_bottom.cu"
#include "../large_transforms_top.cu"
#include "../modules.cu"
#include "../permutation.cu"
#include "../real_parts.cu"
#include "../small_transforms.cu"
#include "../subring_sums.cu"
#include "../uniform.cu"
#include "../weights.cu"

#include "launch.hpp"

namespace emulator {

constexpr Kernel KERNELS[] = {
    KERNEL(forward_limb),
    KERNEL(forward_top),
    KERNEL(forward_bottom),
    KERNEL(forward_bottom_of_division),
    KERNEL(inverse_limb),
    KERNEL(inverse_bottom),
    KERNEL(inverse_top),
    KERNEL(copy_limbs),
    KERNEL(add_assign),
    KERNEL(subtract_assign),
    KERNEL(negate_words),
    KERNEL(multiply_words),
    KERNEL(multiply_accumulate),
    KERNEL(scale),
    KERNEL(reduce_signed),
    KERNEL(uniform_limbs),
    KERNEL(add_constant),
    KERNEL(linear_combination),
    KERNEL(tensor),
    KERNEL(automorphism_of_values),
    KERNEL(accumulate_automorphism),
    KERNEL(automorphism_of_coefficients),
    KERNEL(monomial_product_of_coefficients),
    KERNEL(monomial_product_of_values),
    KERNEL(trace),
    KERNEL(parity_split),
    KERNEL(convert_basis),
    KERNEL(convert_limb),
    KERNEL(subtract_from_and_scale),
    KERNEL(gadget_product),
    KERNEL(find_limbs),
    KERNEL(hoisted_sums),
    KERNEL(forward_lanes),
    KERNEL(inverse_lanes),
    KERNEL(lane_products),
    KERNEL(subring_sums),
    KERNEL(gather_strided),
    KERNEL(scatter_strided),
    KERNEL(module_rows),
    KERNEL(gather_rows),
    KERNEL(integer_product),
    KERNEL(weight_polynomials),
    KERNEL(module_product),
};

constexpr unsigned BARRIERS = __COUNTER__ - COUNTER_BEFORE_KERNELS - 1;

}  // namespace emulator

// Runs a launch to its end. Answers why it was refused or stopped (in static storage), or null.
extern "C" __attribute__((visibility("default"))) const char *emulator_launch(const emulator::Launch *launch) {
    return emulator::run(emulator::KERNELS, *launch);
}

// How many barriers the source of the kernels has.
extern "C" __attribute__((visibility("default"))) unsigned emulator_barrier_count() { return emulator::BARRIERS; }
