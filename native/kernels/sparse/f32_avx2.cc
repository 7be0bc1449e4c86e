#include "kernels/sparse/body.h"

namespace paring::sparse {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{row<6>, dot, finish, spread, 6};

}  // namespace paring::sparse
