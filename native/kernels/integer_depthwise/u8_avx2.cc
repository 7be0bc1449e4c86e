#include "kernels/integer_depthwise/body.h"

namespace paring::integer_depthwise {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{run, kTaps};

}  // namespace paring::integer_depthwise
