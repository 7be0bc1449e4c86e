#include "kernels/integer_gemm/body.h"

namespace paring::integer_gemm {

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{all_panels, {0, 12, 12, 8, 6}, kUnit};

}  // namespace paring::integer_gemm
