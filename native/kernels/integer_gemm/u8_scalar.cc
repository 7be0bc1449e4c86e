#include "kernels/integer_gemm/body.h"

namespace paring::integer_gemm {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{panel_by_panel<1, 2>, {0, 2, 2, 2, 2}, kUnit};

}  // namespace paring::integer_gemm
