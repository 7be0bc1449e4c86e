#include "kernels/gemm/body.h"

namespace paring::gemm {
namespace {

void run(const Tile& group) {
  Tile t = group;
  for (int64_t p = 0; p < group.panels && t.columns > 0; ++p) {
    t.rows == 2 ? tile_of<2, 1>(t) : tile_of<1, 1>(t);
    t.weights += kWidth;
    t.bias += kWidth;
    t.out += kWidth;
    if (t.residual != nullptr) t.residual += kWidth;
    t.columns -= kWidth;
  }
}

}  // namespace

extern const Kernel scalar_kernel;
const Kernel scalar_kernel{run, {0, 2, 2, 2, 2}};

}  // namespace paring::gemm
