// See depthwise.h. Each output is one chain of multiply-adds from the bias through the taps inside the image, in order.
#include "kernels/depthwise/depthwise.h"
#include "kernels/simd.h"

namespace {

using paring::depthwise::Row;

inline void finish(const Row& r, int64_t x, Vec y) {
  if (r.residual != nullptr) y = add(y, load(r.residual + x * r.residual_ld, r.channels));
  store(r.out + x * r.out_ld, min(broadcast(r.high), max(broadcast(r.low), y)), r.channels);
}

// Any pixel: taps outside the image are left out.
inline void careful(const Row& r, int64_t x) {
  Vec sum = load(r.bias);
  const int64_t column = x * r.stride_w - r.left;
  for (int64_t i = 0; i < r.kernel_h; ++i) {
    const int64_t y = r.y + i * r.dilation_h;
    if (y < 0 || y >= r.in_h) continue;
    for (int64_t j = 0; j < r.kernel_w; ++j) {
      const int64_t z = column + j * r.dilation_w;
      if (z < 0 || z >= r.in_w) continue;
      sum = fma(load(r.in + y * r.in_row + z * r.in_ld, r.channels), load(r.weights + (i * r.kernel_w + j) * kWidth), sum);
    }
  }
  finish(r, x, sum);
}

// `pixels` neighboring outputs, none of whose taps leaves the image sideways; rows in [first, last) are inside it.
template <int pixels, bool whole>
inline void inside(const Row& r, int64_t x, int64_t first, int64_t last) {
  Vec sum[pixels];
  for (int p = 0; p < pixels; ++p) sum[p] = load(r.bias);
  const int64_t step = r.stride_w * r.in_ld;
  for (int64_t i = first; i < last; ++i) {
    const float* row = r.in + (r.y + i * r.dilation_h) * r.in_row + (x * r.stride_w - r.left) * r.in_ld;
    const float* weights = r.weights + i * r.kernel_w * kWidth;
    for (int64_t j = 0; j < r.kernel_w; ++j, row += r.dilation_w * r.in_ld, weights += kWidth) {
      const Vec w = load(weights);
      for (int p = 0; p < pixels; ++p)
        sum[p] = fma(whole ? load(row + p * step) : load(row + p * step, r.channels), w, sum[p]);
    }
  }
  for (int p = 0; p < pixels; ++p) finish(r, x + p, sum[p]);
}

template <bool whole>
void row_of(const Row& r) {
  int64_t first = 0, last = r.kernel_h;
  while (first < last && r.y + first * r.dilation_h < 0) ++first;
  while (first < last && r.y + (last - 1) * r.dilation_h >= r.in_h) --last;
  const int64_t span = (r.kernel_w - 1) * r.dilation_w;
  int64_t from = 0, to = r.out_w;
  while (from < to && from * r.stride_w - r.left < 0) ++from;
  while (from < to && (to - 1) * r.stride_w - r.left + span >= r.in_w) --to;
  int64_t x = 0;
  for (; x < from; ++x) careful(r, x);
  for (; x + 8 <= to; x += 8) inside<8, whole>(r, x, first, last);
  for (; x + 4 <= to; x += 4) inside<4, whole>(r, x, first, last);
  for (; x + 2 <= to; x += 2) inside<2, whole>(r, x, first, last);
  for (; x < to; ++x) inside<1, whole>(r, x, first, last);
  for (; x < r.out_w; ++x) careful(r, x);
}

void run_row(const Row& r) { r.channels == kWidth ? row_of<true>(r) : row_of<false>(r); }

}  // namespace

namespace paring::depthwise {

extern const Kernel PARING_KERNEL;
const Kernel PARING_KERNEL{run_row};

}  // namespace paring::depthwise
