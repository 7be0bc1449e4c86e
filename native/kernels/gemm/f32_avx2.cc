#include "kernels/gemm/body.h"

namespace paring::gemm {
namespace {

// Sixteen registers: six rows of one panel (two registers each) are all that fits, so a group goes panel by panel.
template <int... row>
void choose(const Tile& t, std::integer_sequence<int, row...>) {
  static constexpr Function table[] = {tile_of<row + 1, 1>...};
  table[t.rows - 1](t);
}

void run(const Tile& group) {
  Tile t = group;
  for (int64_t p = 0; p < group.panels && t.columns > 0; ++p) {
    choose(t, std::make_integer_sequence<int, 6>());
    t.weights += kWidth;
    t.bias += kWidth;
    t.out += kWidth;
    if (t.residual != nullptr) t.residual += kWidth;
    t.columns -= kWidth;
  }
}

}  // namespace

extern const Kernel avx2_kernel;
const Kernel avx2_kernel{run, {0, 6, 6, 6, 6}};

}  // namespace paring::gemm
