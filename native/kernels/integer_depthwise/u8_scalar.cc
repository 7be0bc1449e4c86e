#include "kernels/integer_depthwise/body.h"

namespace paring::integer_depthwise {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{run, kTaps};

}  // namespace paring::integer_depthwise
