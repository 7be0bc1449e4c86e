#include <immintrin.h>

#include "kernels/sparse_windows/sparse_windows.h"

namespace paring::sparse_windows {
namespace {

using Group = Windows::Group;

// One slot of one panel: the lanes that take an entry, its input and its value.
struct Taken {
  __mmask16 lanes;
  __m512 x, value;
};

struct Book {
  __m512 low, high;
};

inline Taken coded(const Group& g, int64_t at, __m512 low, __m512 high, const Book& book) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(g.words + at));
  const __m512i index = _mm512_cvtepu16_epi32(words);
  return {_mm256_movepi16_mask(words), _mm512_permutex2var_ps(low, index, high),
          _mm512_permutex2var_ps(book.low, _mm512_srli_epi32(index, 5), book.high)};
}

inline Taken plain(const Group& g, int64_t at, __m512 low, __m512 high) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(g.inputs + at));
  return {_mm_movepi8_mask(bytes), _mm512_permutex2var_ps(low, _mm512_cvtepu8_epi32(bytes), high),
          _mm512_loadu_ps(g.values + at)};
}

template <int panels, bool with_codes>
void run_panels(const Group& g, const float* x, float* sums) {
  __m512 sum[panels];
  for (int p = 0; p < panels; ++p) sum[p] = _mm512_loadu_ps(g.bias + p * 16);
  const Book book{_mm512_loadu_ps(g.book), _mm512_loadu_ps(g.book + 16)};
  const uint32_t* starts = g.starts;
  int64_t at = 0;
  for (int64_t c = 0; c < g.chunks; ++c, starts += panels) {
    __m512 low[panels], high[panels];
    for (int p = 0; p < panels; ++p) {
      low[p] = _mm512_loadu_ps(x + starts[p]);
      high[p] = _mm512_loadu_ps(x + starts[p] + 16);
    }
    for (int slot = 0; slot < Windows::kSlots; ++slot) {
      for (int p = 0; p < panels; ++p) {
        const int64_t from = at + (p * Windows::kSlots + slot) * 16;
        const Taken taken = with_codes ? coded(g, from, low[p], high[p], book) : plain(g, from, low[p], high[p]);
        sum[p] = _mm512_mask3_fmadd_ps(taken.x, taken.value, sum[p], taken.lanes);
      }
    }
    at += panels * Windows::kSlots * 16;
  }
  for (int p = 0; p < panels; ++p) _mm512_storeu_ps(sums + p * 16, sum[p]);
}

template <bool with_codes>
void run_group(const Group& g, const float* x, float* sums) {
  switch (g.panels) {
    case 1:
      return run_panels<1, with_codes>(g, x, sums);
    case 2:
      return run_panels<2, with_codes>(g, x, sums);
    case 3:
      return run_panels<3, with_codes>(g, x, sums);
    default:
      return run_panels<4, with_codes>(g, x, sums);
  }
}

void run(const Group& g, const float* x, float* sums) {
  g.coded ? run_group<true>(g, x, sums) : run_group<false>(g, x, sums);
}

}  // namespace

extern const Kernel PARING_KERNEL;
const Kernel PARING_KERNEL{run};

}  // namespace paring::sparse_windows
