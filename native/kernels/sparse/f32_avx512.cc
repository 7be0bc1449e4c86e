#include "kernels/sparse/body.h"

namespace paring::sparse {

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{row<16>, dot, finish, spread, 16};

}  // namespace paring::sparse
