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

using Function = void (*)(const Tile&);

}  // namespace
