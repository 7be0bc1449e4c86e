// The tile kernel, compiled once per instruction set; see integer_gemm.h.
#include "kernels/integer_gemm/integer_gemm.h"
#include "kernels/integer_simd.h"

namespace {

using paring::integer_gemm::Tile;

template <int rows, int panels>
void tile_of(const Tile& t) {
  Int sum[rows][panels];
  for (int p = 0; p < panels; ++p) {
    const Int start = load(t.start + p * kWidth);
    for (int r = 0; r < rows; ++r) sum[r][p] = start;
  }
  const int64_t step = t.panels * kStepBytes;
  const int8_t* weights = t.weights;
  const uint8_t* const* runs = t.runs;
  for (int64_t tap = 0; tap < t.taps; ++tap, runs += rows) {
    const uint8_t* run[rows];
    for (int r = 0; r < rows; ++r) run[r] = runs[r];
    for (int64_t k = 0; k < t.length; k += kUnit, weights += step) {
      Weights w[panels];
      for (int p = 0; p < panels; ++p) w[p] = load_weights(weights + p * kStepBytes);
      for (int r = 0; r < rows; ++r) {
        const Codes x = spread(run[r] + k);
        for (int p = 0; p < panels; ++p) sum[r][p] = dot(x, w[p], sum[r][p]);
      }
    }
  }
  const Vec low = broadcast(t.low), high = broadcast(t.high);
  const Int zero = all(t.zero);
  for (int p = 0; p < panels; ++p) {
    const int64_t left = t.columns - p * kWidth;
    if (left <= 0) break;
    const Vec m = load(t.multipliers + p * kWidth);
    for (int r = 0; r < rows; ++r) {
      const Int y = to_codes(mul(to_float(sum[r][p]), m), low, high, zero);
      uint8_t* out = t.out + r * t.ld + p * kWidth;
      if (left >= kWidth)
        store_codes(out, y);
      else
        store_codes(out, y, left);
    }
  }
}

#if !defined(__AVX512F__)
// A group panel by panel, for processors with few registers.
template <int... row>
void panel_by_panel(const Tile& group) {
  using Function = void (*)(const Tile&);
  static constexpr Function table[] = {tile_of<row, 1>...};
  Tile t = group;
  for (int64_t p = 0; p < group.panels && t.columns > 0; ++p) {
    table[t.rows - 1](t);
    t.weights += kStepBytes;
    t.start += kWidth;
    t.multipliers += kWidth;
    t.out += kWidth;
    t.columns -= kWidth;
  }
}

#else
// Rows x panels sums, panels vectors of weights and one of codes have to fit 32 registers.
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
#endif

}  // namespace

namespace paring::integer_gemm {

extern const Kernel PARING_KERNEL;
#if defined(__AVX512F__)
const Kernel PARING_KERNEL{all_panels, {0, 12, 12, 8, 6}, kUnit};
#elif defined(__AVX2__)
const Kernel PARING_KERNEL{panel_by_panel<1, 2, 3, 4, 5, 6>, {0, 6, 6, 6, 6}, kUnit};
#else
const Kernel PARING_KERNEL{panel_by_panel<1, 2>, {0, 2, 2, 2, 2}, kUnit};
#endif

}  // namespace paring::integer_gemm
