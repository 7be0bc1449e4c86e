#include "kernels/integer_gemm/body.h"

namespace paring::integer_gemm {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{panel_by_panel<1, 2, 3, 4, 5, 6>, {0, 6, 6, 6, 6}, kUnit};

}  // namespace paring::integer_gemm
