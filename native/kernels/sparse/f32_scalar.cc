#include "kernels/sparse/body.h"

namespace paring::sparse {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{run_rows<4>, dot, finish, spread, shift, 4};

}  // namespace paring::sparse
