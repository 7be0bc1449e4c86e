#include "kernels/integer_elementwise/body.h"

namespace paring::integer_elementwise {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{quantize, dequantize, sum_of_two, mean_windows, max_windows};

}  // namespace paring::integer_elementwise
