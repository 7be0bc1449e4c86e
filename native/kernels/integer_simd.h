// Sixteen 32-bit integers as one value, and what the kernels on codes need of them; beside simd.h, in the same way.
//
// Products of a code (0 .. 255) and a weight (-127 .. 127) are added up in 32 bits by instructions that cannot
// saturate: VPDPBUSD or VPDPWSSD where there is VNNI, VPMADDWD on 16-bit numbers elsewhere.
#pragma once

#include "kernels/simd.h"

namespace {

inline int32_t four_bytes(const uint8_t* p) {
  int32_t x;
  __builtin_memcpy(&x, p, 4);
  return x;
}
inline int16_t two_bytes(const uint8_t* p) {
  int16_t x;
  __builtin_memcpy(&x, p, 2);
  return x;
}

#if defined(__AVX512F__)

struct Int {
  __m512i v;
};
inline Int all(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Int load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline Int add(Int a, Int b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Int sub(Int a, Int b) { return {_mm512_sub_epi32(a.v, b.v)}; }
inline Vec to_float(Int a) { return {_mm512_cvtepi32_ps(a.v)}; }
// To the nearest integer, ties to even; |a| < 2^22.
inline Int nearest(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Int load_codes(const uint8_t* p) { return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))}; }
inline Int load_codes(const uint8_t* p, int64_t n) { return {_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(n), p))}; }
inline void store_codes(uint8_t* p, Int a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v)); }
inline void store_codes(uint8_t* p, Int a, int64_t n) { _mm_mask_storeu_epi8(p, first(n), _mm512_cvtepi32_epi8(a.v)); }
// sum + x * w, lane by lane; the lanes of x and w are each two numbers of 16 bits, whose products are added.
inline Int multiply_add(Int x, Int w, Int sum) {
#if defined(__AVX512VNNI__)
  return {_mm512_dpwssd_epi32(sum.v, x.v, w.v)};
#else
  return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(x.v, w.v))};
#endif
}

// How many taps of a depthwise kernel are multiplied at once, and they for sixteen channels. Here a tap's codes in
// lanes of their own cost least.
constexpr int64_t kTaps = 1;
inline Int load_taps(const uint8_t* a, const uint8_t*, int64_t n) { return n == kWidth ? load_codes(a) : load_codes(a, n); }

#if defined(__AVX512VNNI__)
// Products of four neighboring codes, the same for all lanes, and each lane's four weights.
constexpr int64_t kUnit = 4;
struct Codes {
  __m512i v;
};
struct Weights {
  __m512i v;
};
inline Codes spread(const uint8_t* p) { return {_mm512_set1_epi32(four_bytes(p))}; }
inline Weights load_weights(const int8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Int dot(Codes x, Weights w, Int sum) { return {_mm512_dpbusd_epi32(sum.v, x.v, w.v)}; }
#else
constexpr int64_t kUnit = 2;
struct Codes {
  __m512i v;
};
struct Weights {
  __m512i v;
};
inline Codes spread(const uint8_t* p) { return {_mm512_cvtepu8_epi16(_mm256_set1_epi16(two_bytes(p)))}; }
inline Weights load_weights(const int8_t* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Int dot(Codes x, Weights w, Int sum) { return {_mm512_add_epi32(sum.v, _mm512_madd_epi16(x.v, w.v))}; }
#endif

#elif defined(__AVX2__)

struct Int {
  __m256i lo, hi;
};
inline Int all(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline __m256i load8(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline Int load(const int32_t* p) { return {load8(p), load8(p + 8)}; }
inline Int add(Int a, Int b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline Int sub(Int a, Int b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
inline Vec to_float(Int a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline Int nearest(Vec a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline Int load_codes(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
inline Int load_codes(const uint8_t* p, int64_t n) {
  uint8_t bytes[kWidth] = {};
  for (int64_t i = 0; i < n; ++i) bytes[i] = p[i];
  return load_codes(bytes);
}
inline void store_codes(uint8_t* p, Int a) {
  // Lanes of 16-bit numbers come out as 0-3 8-11 4-7 12-15 (quarters), which the permutation puts right.
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline void store_codes(uint8_t* p, Int a, int64_t n) {
  uint8_t bytes[kWidth];
  store_codes(bytes, a);
  for (int64_t i = 0; i < n; ++i) p[i] = bytes[i];
}
inline Int multiply_add(Int x, Int w, Int sum) {
#if defined(__AVXVNNI__)
  return {_mm256_dpwssd_avx_epi32(sum.lo, x.lo, w.lo), _mm256_dpwssd_avx_epi32(sum.hi, x.hi, w.hi)};
#else
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(x.lo, w.lo)), _mm256_add_epi32(sum.hi, _mm256_madd_epi16(x.hi, w.hi))};
#endif
}

// Two taps of sixteen channels: lanes of a channel's two codes.
constexpr int64_t kTaps = 2;
inline Int load_taps(const uint8_t* a, const uint8_t* b, int64_t n) {
  __m128i x, y;
  if (n == kWidth) {
    x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a));
    y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
  } else {
    uint8_t bytes[2][kWidth] = {};
    for (int64_t i = 0; i < n; ++i) bytes[0][i] = a[i], bytes[1][i] = b[i];
    x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes[0]));
    y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes[1]));
  }
  return {_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(x, y)), _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(x, y))};
}

struct Codes {
  __m256i v;
};
struct Weights {
  __m256i lo, hi;
};
#if defined(__AVXVNNI__)
constexpr int64_t kUnit = 4;
inline Codes spread(const uint8_t* p) { return {_mm256_set1_epi32(four_bytes(p))}; }
inline Weights load_weights(const int8_t* p) { return {load8(p), load8(p + 32)}; }
inline Int dot(Codes x, Weights w, Int sum) {
  return {_mm256_dpbusd_avx_epi32(sum.lo, x.v, w.lo), _mm256_dpbusd_avx_epi32(sum.hi, x.v, w.hi)};
}
#else
constexpr int64_t kUnit = 2;
inline Codes spread(const uint8_t* p) { return {_mm256_cvtepu8_epi16(_mm_set1_epi16(two_bytes(p)))}; }
inline __m128i load4(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline Weights load_weights(const int8_t* p) { return {_mm256_cvtepi8_epi16(load4(p)), _mm256_cvtepi8_epi16(load4(p + 16))}; }
inline Int dot(Codes x, Weights w, Int sum) {
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(x.v, w.lo)), _mm256_add_epi32(sum.hi, _mm256_madd_epi16(x.v, w.hi))};
}
#endif

#else

struct Int {
  int32_t v[kWidth];
};
template <class F>
inline Int each_int(F f) {
  Int r;
  for (int i = 0; i < kWidth; ++i) r.v[i] = f(i);
  return r;
}
inline Int all(int32_t x) {
  return each_int([&](int) { return x; });
}
inline Int load(const int32_t* p) {
  return each_int([&](int i) { return p[i]; });
}
inline Int add(const Int& a, const Int& b) {
  return each_int([&](int i) { return a.v[i] + b.v[i]; });
}
inline Int sub(const Int& a, const Int& b) {
  return each_int([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec to_float(const Int& a) {
  return each([&](int i) { return static_cast<float>(a.v[i]); });
}
// 1.5 * 2^23 has a unit of one in its last place, so that adding it rounds to nearest, ties to even.
inline Int nearest(const Vec& a) {
  return each_int([&](int i) {
    const float shifted = a.v[i] + 12582912.0f;
    return static_cast<int32_t>(shifted - 12582912.0f);
  });
}
inline Int load_codes(const uint8_t* p) {
  return each_int([&](int i) { return int32_t{p[i]}; });
}
inline Int load_codes(const uint8_t* p, int64_t n) {
  return each_int([&](int i) { return i < n ? int32_t{p[i]} : 0; });
}
inline void store_codes(uint8_t* p, const Int& a) {
  for (int i = 0; i < kWidth; ++i) p[i] = static_cast<uint8_t>(a.v[i]);
}
inline void store_codes(uint8_t* p, const Int& a, int64_t n) {
  for (int i = 0; i < kWidth && i < n; ++i) p[i] = static_cast<uint8_t>(a.v[i]);
}
inline Int multiply_add(const Int& x, const Int& w, const Int& sum) {
  return each_int([&](int i) { return sum.v[i] + x.v[i] * static_cast<int16_t>(w.v[i]); });
}
constexpr int64_t kTaps = 1;
inline Int load_taps(const uint8_t* a, const uint8_t*, int64_t n) { return load_codes(a, n); }

constexpr int64_t kUnit = 4;
struct Codes {
  int32_t v[kUnit];
};
struct Weights {
  const int8_t* p;
};
inline Codes spread(const uint8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
inline Weights load_weights(const int8_t* p) { return {p}; }
inline Int dot(const Codes& x, const Weights& w, const Int& sum) {
  return each_int([&](int i) {
    const int8_t* of = w.p + i * kUnit;
    return sum.v[i] + x.v[0] * of[0] + x.v[1] * of[1] + x.v[2] * of[2] + x.v[3] * of[3];
  });
}

#endif

// clamp(rne(t) + zero, low, high) where `low` and `high` are those codes minus the zero point: clamping first gives the
// same and keeps the number small. NaN gives low.
inline Int to_codes(Vec t, Vec low, Vec high, Int zero) { return add(nearest(min(max(t, low), high)), zero); }

// Bytes of packed weights that one step of sixteen outputs takes.
constexpr int64_t kStepBytes = kWidth * kUnit;

}  // namespace
