#include "kernels/depthwise/body.h"

namespace paring::depthwise {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{run_row};

}  // namespace paring::depthwise
