// See integer_depthwise.h.
#include "kernels/integer_depthwise/integer_depthwise.h"
#include "kernels/integer_simd.h"

namespace {

using paring::integer_depthwise::Pixels;

// Sixteen times `vectors` channels of `pixels` outputs from channel c on.
template <int pixels, int vectors, bool whole>
inline void block(const Pixels& t, const uint8_t* const* taps, uint8_t* out, int64_t c) {
  Int sum[pixels][vectors];
  for (int v = 0; v < vectors; ++v) {
    const Int start = load(t.start + c + v * kWidth);
    for (int p = 0; p < pixels; ++p) sum[p][v] = start;
  }
  const int64_t steps = t.taps_each / kTaps, n = whole ? kWidth : t.channels - c;
  const int32_t* weights = t.weights + c * steps;
  for (int64_t i = 0; i < t.taps_each; i += kTaps, weights += kWidth) {
    for (int v = 0; v < vectors; ++v) {
      const Int w = load(weights + v * kWidth * steps);
      for (int p = 0; p < pixels; ++p) {
        const uint8_t* const* at = taps + p * t.taps_each + i;
        const Int x = load_taps(at[0] + c + v * kWidth, at[kTaps - 1] + c + v * kWidth, n);
        sum[p][v] = multiply_add(x, w, sum[p][v]);
      }
    }
  }
  const Vec low = broadcast(t.low), high = broadcast(t.high);
  const Int zero = all(t.zero);
  for (int v = 0; v < vectors; ++v) {
    const Vec m = load(t.multipliers + c + v * kWidth);
    for (int p = 0; p < pixels; ++p) {
      const Int y = to_codes(mul(to_float(sum[p][v]), m), low, high, zero);
      if (whole)
        store_codes(out + p * t.ld + c + v * kWidth, y);
      else
        store_codes(out + p * t.ld + c, y, n);
    }
  }
}

template <int pixels>
inline void some(const Pixels& t, const uint8_t* const* taps, uint8_t* out) {
  int64_t c = 0;
#if defined(__AVX512F__)
  for (; c + 2 * kWidth <= t.channels; c += 2 * kWidth) block<pixels, 2, true>(t, taps, out, c);
#endif
  for (; c + kWidth <= t.channels; c += kWidth) block<pixels, 1, true>(t, taps, out, c);
  if (c < t.channels) block<pixels, 1, false>(t, taps, out, c);
}

void run(const Pixels& t) {
  int64_t p = 0;
  for (; p + 4 <= t.pixels; p += 4) some<4>(t, t.taps + p * t.taps_each, t.out + p * t.ld);
  for (; p < t.pixels; ++p) some<1>(t, t.taps + p * t.taps_each, t.out + p * t.ld);
}

}  // namespace

namespace paring::integer_depthwise {

extern const Kernel PARING_KERNEL;
const Kernel PARING_KERNEL{run, kTaps};

}  // namespace paring::integer_depthwise
