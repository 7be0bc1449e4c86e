#include "kernels/sparse/body.h"

namespace paring::sparse {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{run_rows<6>, dot, finish, spread, shift, 6};

}  // namespace paring::sparse
