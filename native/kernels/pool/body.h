// See pool.h. Sums run through the window row by row.
#include "kernels/pool/pool.h"
#include "kernels/simd.h"

namespace {

using paring::pool::Window;

template <class Combine>
inline Vec reduce(const Window& w, int64_t c, int64_t n, Vec total, Combine combine) {
  for (int64_t i = 0; i < w.rows; ++i) {
    const float* pixel = w.in + i * w.row_step + c;
    for (int64_t j = 0; j < w.cols; ++j, pixel += w.col_step)
      total = combine(n == kWidth ? load(pixel) : load(pixel, n), total);
  }
  return total;
}

void max_window(const Window& w) {
  for (int64_t c = 0; c < w.channels; c += kWidth) {
    const int64_t n = w.channels - c < kWidth ? w.channels - c : kWidth;
    const Vec lowest = broadcast(-__builtin_inff());
    store(w.out + c, reduce(w, c, n, lowest, [](Vec x, Vec y) { return nan_or(x, max(x, y)); }), n);
  }
}

void mean_window(const Window& w) {
  const Vec divisor = broadcast(w.divisor);
  for (int64_t c = 0; c < w.channels; c += kWidth) {
    const int64_t n = w.channels - c < kWidth ? w.channels - c : kWidth;
    store(w.out + c, div(reduce(w, c, n, zero(), [](Vec x, Vec y) { return add(x, y); }), divisor), n);
  }
}

}  // namespace
