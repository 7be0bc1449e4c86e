// Stands in for the compiler's header of the same name: the AVX-512 and VNNI instructions that the kernels on codes use,
// in plain C++, so that those kernels can be tested on a processor that lacks them. See kernels.cc.
#pragma once
#include <cstdint>
#include <cstring>
#include <cmath>
struct __m512 { float f[16]; }; struct __m512i { int32_t i[16]; };
struct __m256i { int32_t i[8]; }; struct __m128i { uint8_t b[16]; };
typedef uint16_t __mmask16;
#define F static inline
F __m512 _mm512_setzero_ps() { return {}; }
F __m512 _mm512_set1_ps(float x) { __m512 r; for (auto& v : r.f) v = x; return r; }
F __m512 _mm512_loadu_ps(const void* p) { __m512 r; memcpy(&r, p, 64); return r; }
F void _mm512_storeu_ps(void* p, __m512 a) { memcpy(p, &a, 64); }
F __m512 _mm512_maskz_loadu_ps(__mmask16 m, const float* p) { __m512 r{}; for (int i = 0; i < 16; ++i) if (m >> i & 1) r.f[i] = p[i]; return r; }
F void _mm512_mask_storeu_ps(float* p, __mmask16 m, __m512 a) { for (int i = 0; i < 16; ++i) if (m >> i & 1) p[i] = a.f[i]; }
#define OP(name, expr) F __m512 name(__m512 a, __m512 b) { __m512 r; for (int i = 0; i < 16; ++i) { float x = a.f[i], y = b.f[i]; r.f[i] = expr; } return r; }
OP(_mm512_add_ps, x + y) OP(_mm512_mul_ps, x * y) OP(_mm512_div_ps, x / y) OP(_mm512_max_ps, x > y ? x : y) OP(_mm512_min_ps, x < y ? x : y)
F __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c) { __m512 r; for (int i = 0; i < 16; ++i) r.f[i] = std::fma(a.f[i], b.f[i], c.f[i]); return r; }
#define _CMP_UNORD_Q 3
F __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int) { __mmask16 m = 0; for (int i = 0; i < 16; ++i) if (a.f[i] != a.f[i] || b.f[i] != b.f[i]) m |= 1u << i; return m; }
F __m512 _mm512_mask_mov_ps(__m512 s, __mmask16 m, __m512 a) { for (int i = 0; i < 16; ++i) if (m >> i & 1) s.f[i] = a.f[i]; return s; }
__m512 _mm512_unpacklo_ps(__m512, __m512); __m512 _mm512_unpackhi_ps(__m512, __m512); __m512 _mm512_shuffle_ps(__m512, __m512, int); __m512 _mm512_shuffle_f32x4(__m512, __m512, int);
F __m512i _mm512_set1_epi32(int x) { __m512i r; for (auto& v : r.i) v = x; return r; }
F __m512i _mm512_loadu_si512(const void* p) { __m512i r; memcpy(&r, p, 64); return r; }
F __m512i _mm512_add_epi32(__m512i a, __m512i b) { for (int i = 0; i < 16; ++i) a.i[i] = (int32_t)((uint32_t)a.i[i] + (uint32_t)b.i[i]); return a; }
F __m512i _mm512_sub_epi32(__m512i a, __m512i b) { for (int i = 0; i < 16; ++i) a.i[i] = (int32_t)((uint32_t)a.i[i] - (uint32_t)b.i[i]); return a; }
F __m512 _mm512_cvtepi32_ps(__m512i a) { __m512 r; for (int i = 0; i < 16; ++i) r.f[i] = (float)a.i[i]; return r; }
F __m512i _mm512_cvtps_epi32(__m512 a) { __m512i r; for (int i = 0; i < 16; ++i) r.i[i] = (int32_t)std::nearbyintf(a.f[i]); return r; }
F __m512i _mm512_cvtepu8_epi32(__m128i a) { __m512i r; for (int i = 0; i < 16; ++i) r.i[i] = a.b[i]; return r; }
F __m128i _mm_loadu_si128(const __m128i* p) { __m128i r; memcpy(&r, p, 16); return r; }
F void _mm_storeu_si128(__m128i* p, __m128i a) { memcpy(p, &a, 16); }
F __m128i _mm_maskz_loadu_epi8(__mmask16 m, const void* p) { __m128i r{}; for (int i = 0; i < 16; ++i) if (m >> i & 1) r.b[i] = ((const uint8_t*)p)[i]; return r; }
F void _mm_mask_storeu_epi8(void* p, __mmask16 m, __m128i a) { for (int i = 0; i < 16; ++i) if (m >> i & 1) ((uint8_t*)p)[i] = a.b[i]; }
F __m128i _mm512_cvtepi32_epi8(__m512i a) { __m128i r; for (int i = 0; i < 16; ++i) r.b[i] = (uint8_t)a.i[i]; return r; }
F __m512i _mm512_madd_epi16(__m512i a, __m512i b) { int16_t x[32], y[32]; memcpy(x, &a, 64); memcpy(y, &b, 64); __m512i r; for (int i = 0; i < 16; ++i) r.i[i] = x[2*i] * y[2*i] + x[2*i+1] * y[2*i+1]; return r; }
F __m512i _mm512_dpwssd_epi32(__m512i s, __m512i a, __m512i b) { return _mm512_add_epi32(s, _mm512_madd_epi16(a, b)); }
F __m512i _mm512_dpbusd_epi32(__m512i s, __m512i a, __m512i b) { uint8_t x[64]; int8_t y[64]; memcpy(x, &a, 64); memcpy(y, &b, 64); for (int i = 0; i < 16; ++i) { int t = 0; for (int j = 0; j < 4; ++j) t += x[4*i+j] * y[4*i+j]; s.i[i] = (int32_t)((uint32_t)s.i[i] + (uint32_t)t); } return s; }
F __m256i _mm256_set1_epi16(short v) { __m256i r; short x[16]; for (auto& e : x) e = v; memcpy(&r, x, 32); return r; }
F __m512i _mm512_cvtepu8_epi16(__m256i a) { uint8_t x[32]; int16_t y[32]; memcpy(x, &a, 32); for (int i = 0; i < 32; ++i) y[i] = x[i]; __m512i r; memcpy(&r, y, 64); return r; }
F __m256i _mm256_loadu_si256(const __m256i* p) { __m256i r; memcpy(&r, p, 32); return r; }
F __m512i _mm512_cvtepi8_epi16(__m256i a) { int8_t x[32]; int16_t y[32]; memcpy(x, &a, 32); for (int i = 0; i < 32; ++i) y[i] = x[i]; __m512i r; memcpy(&r, y, 64); return r; }
#undef F
