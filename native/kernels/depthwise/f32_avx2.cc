#include "kernels/depthwise/body.h"

namespace paring::depthwise {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{run_row};

}  // namespace paring::depthwise
