// See integer_elementwise.h.
#include "kernels/integer_elementwise/integer_elementwise.h"
#include "kernels/integer_simd.h"

namespace {

using paring::integer_elementwise::Clamp;
using paring::integer_elementwise::Operand;
using paring::integer_elementwise::Window;

struct Limits {
  Vec low, high;
  Int zero;
};
inline Limits limits(const Clamp& c) {
  return {broadcast(static_cast<float>(c.low - c.zero)), broadcast(static_cast<float>(c.high - c.zero)), all(c.zero)};
}
inline Int to_codes(Vec t, const Limits& to) { return to_codes(t, to.low, to.high, to.zero); }

void quantize(const float* x, uint8_t* y, int64_t n, float scale, const Clamp& clamp) {
  const Limits to = limits(clamp);
  const Vec divisor = broadcast(scale);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store_codes(y + i, to_codes(div(load(x + i), divisor), to));
  if (i < n) store_codes(y + i, to_codes(div(load(x + i, n - i), divisor), to), n - i);
}

void dequantize(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero) {
  const Int from = all(zero);
  const Vec factor = broadcast(scale);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, mul(to_float(sub(load_codes(x + i), from)), factor));
  if (i < n) store(y + i, mul(to_float(sub(load_codes(x + i, n - i), from)), factor), n - i);
}

void sum_of_two(const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n, const Operand& first, const Operand& second,
                const Clamp& clamp) {
  const Limits to = limits(clamp);
  const Int zero_a = all(first.zero), zero_b = all(second.zero);
  const Vec m_a = broadcast(first.multiplier), m_b = broadcast(second.multiplier);
  const auto one = [&](Int x, Int z) {
    return to_codes(add(mul(to_float(sub(x, zero_a)), m_a), mul(to_float(sub(z, zero_b)), m_b)), to);
  };
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store_codes(y + i, one(load_codes(a + i), load_codes(b + i)));
  if (i < n) store_codes(y + i, one(load_codes(a + i, n - i), load_codes(b + i, n - i)), n - i);
}

inline Int mean_of(const Window& w, const uint8_t* in, int64_t n, Vec m, const Limits& to) {
  Int sum = all(w.start);
  for (int64_t i = 0; i < w.rows; ++i) {
    const uint8_t* pixel = in + i * w.row_step;
    for (int64_t j = 0; j < w.cols; ++j, pixel += w.col_step)
      sum = add(sum, n == kWidth ? load_codes(pixel) : load_codes(pixel, n));
  }
  return to_codes(mul(to_float(sum), m), to);
}

void mean_windows(const Window& w) {
  const Limits to = limits(w.clamp);
  const Vec m = broadcast(w.multiplier);
  for (int64_t i = 0; i < w.windows; ++i) {
    const uint8_t* in = w.in + i * w.in_step;
    uint8_t* out = w.out + i * w.out_step;
    int64_t c = 0;
    for (; c + kWidth <= w.channels; c += kWidth) store_codes(out + c, mean_of(w, in + c, kWidth, m, to));
    if (c < w.channels) store_codes(out + c, mean_of(w, in + c, w.channels - c, m, to), w.channels - c);
  }
}

// Plain loops over bytes, which the compiler makes vectors of.
void max_windows(const Window& w) {
  for (int64_t i = 0; i < w.windows; ++i) {
    const uint8_t* in = w.in + i * w.in_step;
    uint8_t* __restrict__ out = w.out + i * w.out_step;
    __builtin_memset(out, 0, static_cast<unsigned long>(w.channels));
    for (int64_t y = 0; y < w.rows; ++y) {
      const uint8_t* pixel = in + y * w.row_step;
      for (int64_t x = 0; x < w.cols; ++x, pixel += w.col_step)
        for (int64_t c = 0; c < w.channels; ++c) out[c] = pixel[c] > out[c] ? pixel[c] : out[c];
    }
  }
}

}  // namespace

namespace paring::integer_elementwise {

extern const Kernel PARING_KERNEL;
const Kernel PARING_KERNEL{quantize, dequantize, sum_of_two, mean_windows, max_windows};

}  // namespace paring::integer_elementwise
