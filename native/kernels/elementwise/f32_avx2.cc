#include "kernels/elementwise/body.h"

namespace paring::elementwise {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{unary, channelwise, binary, softmax, lrn};

}  // namespace paring::elementwise
