// The AVX-VNNI instructions that the kernels on codes use, made of AVX2 ones, so that those kernels can be tested on a
// processor that lacks them. Included before a kernel that is compiled for AVX2.
#pragma once
#include <immintrin.h>

#include <cstdint>
#define __AVXVNNI__ 1

// Products of pairs of 16-bit numbers are added up in 32 bits.
static inline __m256i emulated_dpwssd(__m256i sum, __m256i x, __m256i w) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w));
}

// Four products of an unsigned and a signed byte, without saturation.
static inline __m256i emulated_dpbusd(__m256i sum, __m256i x, __m256i w) {
  uint8_t codes[32];
  int8_t weights[32];
  int32_t sums[8];
  _mm256_storeu_si256((__m256i*)codes, x);
  _mm256_storeu_si256((__m256i*)weights, w);
  _mm256_storeu_si256((__m256i*)sums, sum);
  for (int i = 0; i < 32; ++i) sums[i / 4] += codes[i] * weights[i];
  return _mm256_loadu_si256((const __m256i*)sums);
}

#undef _mm256_dpwssd_avx_epi32
#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpwssd_avx_epi32 emulated_dpwssd
#define _mm256_dpbusd_avx_epi32 emulated_dpbusd
