// The tile kernel, compiled once per instruction set; see gemm.h.
#include "kernels/gemm/gemm.h"
#include "kernels/simd.h"

namespace {

using paring::gemm::Tile;

template <int rows, int panels>
void tile_of(const Tile& t) {
  Vec sum[rows][panels];
  for (int p = 0; p < panels; ++p) {
    const Vec bias = load(t.bias + p * kWidth);
    for (int r = 0; r < rows; ++r) sum[r][p] = bias;
  }
  const int64_t step = t.panels * kWidth;
  const float* weights = t.weights;
  const float* const* runs = t.runs;
  for (int64_t tap = 0; tap < t.taps; ++tap, runs += rows) {
    const float* run[rows];
    for (int r = 0; r < rows; ++r) run[r] = runs[r];
    for (int64_t k = 0; k < t.length; ++k, weights += step) {
      Vec w[panels];
      for (int p = 0; p < panels; ++p) w[p] = load(weights + p * kWidth);
      for (int r = 0; r < rows; ++r) {
        const Vec x = broadcast(run[r][k]);
        for (int p = 0; p < panels; ++p) sum[r][p] = fma(x, w[p], sum[r][p]);
      }
    }
  }
  const Vec low = broadcast(t.low), high = broadcast(t.high);
  for (int r = 0; r < rows; ++r) {
    for (int p = 0; p < panels; ++p) {
      const int64_t left = t.columns - p * kWidth;
      if (left <= 0) break;
      const int64_t n = left < kWidth ? left : kWidth;
      Vec y = sum[r][p];
      if (t.residual != nullptr) y = add(y, load(t.residual + r * t.residual_ld + p * kWidth, n));
      y = min(high, max(low, y));
      store(t.out + r * t.ld + p * kWidth, y, n);
    }
  }
}

#if defined(__AVX512F__)
// Rows x panels accumulators, panels vectors of weights and one broadcast have to fit 32 registers.
template <int panels, int... row>
void choose(const Tile& t) {
  using Function = void (*)(const Tile&);
  static constexpr Function table[] = {tile_of<row, panels>...};
  table[t.rows - 1](t);
}

void all_panels(const Tile& t) {
  switch (t.panels) {
    case 1:
      return choose<1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12>(t);
    case 2:
      return choose<2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12>(t);
    case 3:
      return choose<3, 1, 2, 3, 4, 5, 6, 7, 8>(t);
    default:
      return choose<4, 1, 2, 3, 4, 5, 6>(t);
  }
}
#else
// Fewer registers: with sixteen, six rows of one panel (two registers each) are all that fits.
template <int... row>
void panel_by_panel(const Tile& group) {
  using Function = void (*)(const Tile&);
  static constexpr Function table[] = {tile_of<row, 1>...};
  Tile t = group;
  for (int64_t p = 0; p < group.panels && t.columns > 0; ++p) {
    table[t.rows - 1](t);
    t.weights += kWidth;
    t.bias += kWidth;
    t.out += kWidth;
    if (t.residual != nullptr) t.residual += kWidth;
    t.columns -= kWidth;
  }
}
#endif

}  // namespace

namespace paring::gemm {

extern const Kernel PARING_KERNEL;
#if defined(__AVX512F__)
const Kernel PARING_KERNEL{all_panels, {0, 12, 12, 8, 6}};
#elif defined(__AVX2__)
const Kernel PARING_KERNEL{panel_by_panel<1, 2, 3, 4, 5, 6>, {0, 6, 6, 6, 6}};
#else
const Kernel PARING_KERNEL{panel_by_panel<1, 2>, {0, 2, 2, 2, 2}};
#endif

}  // namespace paring::gemm
