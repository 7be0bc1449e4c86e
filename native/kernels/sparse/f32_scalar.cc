#include "kernels/sparse/body.h"

namespace paring::sparse {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{row<4>, dot, finish, spread, 4};

}  // namespace paring::sparse
