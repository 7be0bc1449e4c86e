#include "kernels/gemm/body.h"

namespace paring::gemm {
namespace {

// Rows x panels accumulators, panels vectors of weights and one broadcast have to fit 32 registers.
template <int panels, int... row>
void choose(const Tile& t, std::integer_sequence<int, row...>) {
  static constexpr Function table[] = {tile_of<row + 1, panels>...};
  table[t.rows - 1](t);
}

void run(const Tile& t) {
  switch (t.panels) {
    case 1:
      return choose<1>(t, std::make_integer_sequence<int, 12>());
    case 2:
      return choose<2>(t, std::make_integer_sequence<int, 12>());
    case 3:
      return choose<3>(t, std::make_integer_sequence<int, 8>());
    default:
      return choose<4>(t, std::make_integer_sequence<int, 6>());
  }
}

}  // namespace

extern const Kernel avx512_kernel;
const Kernel avx512_kernel{run, {0, 12, 12, 8, 6}};

}  // namespace paring::gemm
