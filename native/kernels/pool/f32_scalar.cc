#include "kernels/pool/body.h"

namespace paring::pool {

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{max_windows, mean_windows};

}  // namespace paring::pool
