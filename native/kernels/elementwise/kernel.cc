// See elementwise.h. Plain loops that the compiler turns into vectors of the instruction set.
#include "kernels/elementwise/elementwise.h"

extern "C" float erff(float);
extern "C" float powf(float, float);
extern "C" float sqrtf(float);

namespace {

using paring::elementwise::Binary;
using paring::elementwise::Channelwise;
using paring::elementwise::Lrn;
using paring::elementwise::Unary;

inline float power_of_two(int32_t n) { return __builtin_bit_cast(float, (n + 127) << 23); }

// exp(x) within 2 units in the last place: x = n log 2 + r with |r| <= log(2) / 2, then the series of exp(r).
inline float exponential(float x) {
  const float bounded = x < -87.0f ? -87.0f : x > 89.0f ? 89.0f : x;
  const float shifted = bounded * 1.44269504f + 12582912.0f;  // rounds to an integer in the low mantissa bits
  const float n = shifted - 12582912.0f;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  float y = 1.0f / 5040;
  y = y * r + 1.0f / 720;
  y = y * r + 1.0f / 120;
  y = y * r + 1.0f / 24;
  y = y * r + 1.0f / 6;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  const int32_t whole = __builtin_bit_cast(int32_t, shifted) - 0x4b400000;
  const int32_t half = whole >> 1;  // in two factors, as 2^128 is no float
  y = y * power_of_two(half) * power_of_two(whole - half);
  y = x < -104.0f ? 0.0f : y;
  return x != x ? x : y;
}

inline float clamp(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}
inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
inline float hard_sigmoid(float x) { return clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f; }
inline float hyperbolic_tangent(float x) {
  const float large = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
  const float s = x * x;
  const float small = x + x * s * (-1.0f / 3 + s * (2.0f / 15 + s * (-17.0f / 315)));
  return s < 0.04f ? small : large;
}

template <class F>
inline void map(const float* x, float* out, int64_t n, F f) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

void unary(Unary kind, const float* x, float* out, int64_t n, float a, float b) {
  switch (kind) {
    case Unary::clip:
      return map(x, out, n, [=](float v) { return clamp(v, a, b); });
    case Unary::leaky_relu:
      return map(x, out, n, [=](float v) { return v > 0.0f ? v : v * a; });
    case Unary::sigmoid:
      return map(x, out, n, sigmoid);
    case Unary::tanh:
      return map(x, out, n, hyperbolic_tangent);
    case Unary::hard_sigmoid:
      return map(x, out, n, hard_sigmoid);
    case Unary::hard_swish:
      return map(x, out, n, [](float v) { return v * hard_sigmoid(v); });
    case Unary::silu:
      return map(x, out, n, [](float v) { return v * sigmoid(v); });
    case Unary::gelu:
      return map(x, out, n, [](float v) { return 0.5f * v * (1.0f + erff(v * 0.70710678f)); });
    case Unary::sign:
      return map(x, out, n, [](float v) { return v >= 0.0f ? 1.0f : -1.0f; });
    case Unary::absolute:
      return map(x, out, n, [](float v) { return __builtin_fabsf(v); });
  }
}

void channelwise(Channelwise kind, const float* x, float* out, int64_t n, const float* a, const float* b) {
  switch (kind) {
    case Channelwise::scale_shift:
      for (int64_t i = 0; i < n; ++i) out[i] = x[i] * a[i] + b[i];
      return;
    case Channelwise::prelu:
      for (int64_t i = 0; i < n; ++i) out[i] = x[i] > 0.0f ? x[i] : x[i] * a[i];
      return;
  }
}

void binary(Binary kind, const float* x, const float* y, float* out, int64_t n) {
  switch (kind) {
    case Binary::add:
      for (int64_t i = 0; i < n; ++i) out[i] = x[i] + y[i];
      return;
    case Binary::mul:
      for (int64_t i = 0; i < n; ++i) out[i] = x[i] * y[i];
      return;
  }
}

void softmax(const float* x, float* out, int64_t n) {
  float largest = x[0];
  for (int64_t i = 1; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  map(x, out, n, [=](float v) { return exponential(v - largest); });
  float part[8] = {};
  for (int64_t i = 0; i < n; ++i) part[i & 7] += out[i];
  const float sum = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  map(out, out, n, [=](float v) { return v / sum; });
}

template <class Power>
inline void normalize(const Lrn& lrn, const float* x, float* out, int64_t n, Power power) {
  for (int64_t c = 0; c < n; ++c) {
    const int64_t first = c - lrn.size / 2 < 0 ? 0 : c - lrn.size / 2;
    const int64_t last = c + (lrn.size - 1) / 2 < n ? c + (lrn.size - 1) / 2 : n - 1;
    float sum = 0.0f;
    for (int64_t i = first; i <= last; ++i) sum += x[i] * x[i];
    out[c] = lrn.k + lrn.alpha_over_size * sum;
  }
  for (int64_t c = 0; c < n; ++c) out[c] = x[c] / power(out[c]);
}

void lrn(const Lrn& lrn, const float* x, float* out, int64_t n) {
  if (lrn.beta == 0.75f)
    return normalize(lrn, x, out, n, [](float s) { return __builtin_sqrtf(s) * __builtin_sqrtf(__builtin_sqrtf(s)); });
  normalize(lrn, x, out, n, [&](float s) { return powf(s, lrn.beta); });
}

}  // namespace

namespace paring::elementwise {

extern const Kernel PARING_KERNEL;
const Kernel PARING_KERNEL{unary, channelwise, binary, softmax, lrn};

}  // namespace paring::elementwise
