#include "kernels/sparse/body.h"

namespace paring::sparse {

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{run_rows<16>, dot, finish, spread, shift, 16};

}  // namespace paring::sparse
