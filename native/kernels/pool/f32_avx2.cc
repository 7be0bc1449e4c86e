#include "kernels/pool/body.h"

namespace paring::pool {

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{max_windows, mean_windows};

}  // namespace paring::pool
