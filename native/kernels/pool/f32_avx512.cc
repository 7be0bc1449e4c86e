#include "kernels/pool/body.h"

namespace paring::pool {

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{max_windows, mean_windows};

}  // namespace paring::pool
