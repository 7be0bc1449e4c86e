#include "kernels/depthwise/body.h"

namespace paring::depthwise {

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{run_row};

}  // namespace paring::depthwise
