// See pool.h. Sums run through the window row by row.
#include "kernels/pool/pool.h"
#include "kernels/simd.h"

namespace {

using paring::pool::Window;

template <class Combine>
inline Vec reduce(const Window& w, const float* in, int64_t n, Vec total, Combine combine) {
  for (int64_t i = 0; i < w.rows; ++i) {
    const float* pixel = in + i * w.row_step;
    for (int64_t j = 0; j < w.cols; ++j, pixel += w.col_step)
      total = combine(n == kWidth ? load(pixel) : load(pixel, n), total);
  }
  return total;
}

template <class F>
inline void each_block(const Window& w, F f) {
  const float* in = w.in;
  float* out = w.out;
  for (int64_t i = 0; i < w.windows; ++i, in += w.in_step, out += w.out_step) {
    int64_t c = 0;
    for (; c + kWidth <= w.channels; c += kWidth) store(out + c, f(in + c, kWidth));
    if (c < w.channels) store(out + c, f(in + c, w.channels - c), w.channels - c);
  }
}

void max_windows(const Window& w) {
  const Vec lowest = broadcast(-__builtin_inff());
  const auto larger = [](Vec x, Vec y) { return nan_or(x, max(x, y)); };
  if (w.rows == 2 && w.cols == 2)  // by far the most frequent one
    return each_block(w, [&](const float* in, int64_t n) {
      const Vec a = load(in, n), b = load(in + w.col_step, n), c = load(in + w.row_step, n);
      return larger(larger(load(in + w.row_step + w.col_step, n), c), larger(b, a));
    });
  each_block(w, [&](const float* in, int64_t n) { return reduce(w, in, n, lowest, larger); });
}

void mean_windows(const Window& w) {
  const Vec divisor = broadcast(w.divisor);
  each_block(w, [&](const float* in, int64_t n) {
    return div(reduce(w, in, n, zero(), [](Vec x, Vec y) { return add(x, y); }), divisor);
  });
}

}  // namespace

namespace paring::pool {

extern const Kernel PARING_KERNEL;
const Kernel PARING_KERNEL{max_windows, mean_windows};

}  // namespace paring::pool
