#include "kernels/elementwise/body.h"

namespace paring::elementwise {

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{unary, channelwise, binary, softmax, lrn};

}  // namespace paring::elementwise
