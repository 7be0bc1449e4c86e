// Sixteen floats as one value, in whatever the including file was compiled for: one zmm register, two ymm registers,
// or a plain array. Kernels are written once over it, in a body.h that each ISA's file includes.
//
// Everything lives in an unnamed namespace, so that no function compiled for AVX-512 can stand in for one of the same
// name compiled for an older processor. For the same reason a body.h must not call inline functions of the standard
// library.
#pragma once

#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kWidth = 16;

#if defined(__AVX512F__)

struct Vec {
  __m512 v;
};
inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
// The first n lanes, 0 <= n <= 16; the others read as zero and are not written.
inline Vec load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store(float* p, Vec a, int64_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
// max and min give their second operand when one of the two is NaN.
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
// a where that is NaN, else b.
inline Vec nan_or(Vec a, Vec b) {
  return {_mm512_mask_mov_ps(b.v, _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), a.v)};
}

// Sixteen vectors as a 16 x 16 table: rows become columns.
inline void transpose(Vec (&rows)[kWidth]) {
  __m512 a[16], b[16];
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
  for (int i = 0; i < 16; i += 4) {  // b[i + j]: column 4 q + j of rows i .. i + 3, in quarter q
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  }
  for (int j = 0; j < 4; ++j) {
    const __m512 even_low = _mm512_shuffle_f32x4(b[j], b[j + 4], 0x88), odd_low = _mm512_shuffle_f32x4(b[j], b[j + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(b[j + 8], b[j + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(b[j + 8], b[j + 12], 0xdd);
    rows[j].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    rows[j + 4].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    rows[j + 8].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    rows[j + 12].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

#elif defined(__AVX2__)

struct Vec {
  __m256 lo, hi;
};
inline Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Vec broadcast(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
inline Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline __m256i first8(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}
inline Vec load(const float* p, int64_t n) {
  if (n >= kWidth) return load(p);
  return {_mm256_maskload_ps(p, first8(n)), _mm256_maskload_ps(p + 8, first8(n - 8))};
}
inline void store(float* p, Vec a, int64_t n) {
  if (n >= kWidth) return store(p, a);
  _mm256_maskstore_ps(p, first8(n), a.lo);
  _mm256_maskstore_ps(p + 8, first8(n - 8), a.hi);
}
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline Vec div(Vec a, Vec b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline __m256 nan_or8(__m256 a, __m256 b) { return _mm256_blendv_ps(b, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)); }
inline Vec nan_or(Vec a, Vec b) { return {nan_or8(a.lo, b.lo), nan_or8(a.hi, b.hi)}; }

#else

struct Vec {
  float v[kWidth];
};
template <class F>
inline Vec each(F f) {
  Vec r;
  for (int i = 0; i < kWidth; ++i) r.v[i] = f(i);
  return r;
}
inline Vec zero() { return Vec{}; }
inline Vec broadcast(float x) {
  return each([&](int) { return x; });
}
inline Vec load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline void store(float* p, const Vec& a) {
  for (int i = 0; i < kWidth; ++i) p[i] = a.v[i];
}
inline Vec load(const float* p, int64_t n) {
  return each([&](int i) { return i < n ? p[i] : 0.0f; });
}
inline void store(float* p, const Vec& a, int64_t n) {
  for (int i = 0; i < kWidth && i < n; ++i) p[i] = a.v[i];
}
inline Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec add(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec mul(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec max(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec div(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec nan_or(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] != a.v[i] ? a.v[i] : b.v[i]; });
}

#endif

#if !defined(__AVX512F__)
inline void transpose(Vec (&rows)[kWidth]) {
  float from[kWidth][kWidth], to[kWidth][kWidth];
  for (int i = 0; i < kWidth; ++i) store(from[i], rows[i]);
  for (int i = 0; i < kWidth; ++i)
    for (int j = 0; j < kWidth; ++j) to[i][j] = from[j][i];
  for (int i = 0; i < kWidth; ++i) rows[i] = load(to[i]);
}
#endif

}  // namespace
