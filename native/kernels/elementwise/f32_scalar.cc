#include "kernels/elementwise/body.h"

namespace paring::elementwise {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{unary, channelwise, binary, softmax, lrn};

}  // namespace paring::elementwise
