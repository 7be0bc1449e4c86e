// See sparse.h.
#include <utility>

#include "kernels/simd.h"
#include "kernels/sparse/sparse.h"

namespace {

using paring::sparse::Code;
using paring::sparse::Row;
using paring::sparse::Rows;

inline float value_of(const float* codes, const float*, int64_t i) { return codes[i]; }
inline float value_of(const uint8_t* codes, const float* book, int64_t i) { return book[codes[i]]; }
inline float value_of(const uint16_t* codes, const float* book, int64_t i) { return book[codes[i]]; }

// Several rows side by side while all have entries, then each to its end.
template <int count, int vectors, class CodeType>
void rows_of(const Rows& all) {
  const float *planes = all.planes, *book = all.book;
  const int64_t unit = all.unit;
  const Row* rows = all.rows;
  Vec sum[count][vectors];
  const uint32_t* offsets[count];
  const CodeType* codes[count];
  int64_t common = rows[0].count;
  for (int r = 0; r < count; ++r) {
    common = rows[r].count < common ? rows[r].count : common;
    offsets[r] = rows[r].offsets;
    codes[r] = static_cast<const CodeType*>(rows[r].codes);
    for (int v = 0; v < vectors; ++v) sum[r][v] = load(rows[r].sums + v * kWidth);
  }
  const auto step = [&](int r, int64_t i) {
    const float* at = planes + offsets[r][i] * unit;
    const Vec w = broadcast(value_of(codes[r], book, i));
    for (int v = 0; v < vectors; ++v) sum[r][v] = fma(load(at + v * kWidth), w, sum[r][v]);
  };
  for (int64_t i = 0; i < common; ++i)
    for (int r = 0; r < count; ++r) step(r, i);
  for (int r = 0; r < count; ++r) {
    for (int64_t i = common; i < rows[r].count; ++i) step(r, i);
    for (int v = 0; v < vectors; ++v) store(rows[r].sums + v * kWidth, sum[r][v]);
  }
}

template <int count, class CodeType, int... vectors>
void rows_by_vectors(const Rows& rows, std::integer_sequence<int, vectors...>) {
  static constexpr void (*table[])(const Rows&) = {rows_of<count, vectors + 1, CodeType>...};
  table[rows.vectors - 1](rows);
}

template <int most, class CodeType>
void rows_by_count(const Rows& rows) {
  switch (rows.count) {
    case 1:
      return rows_by_vectors<1, CodeType>(rows, std::make_integer_sequence<int, most>());
    case 2:
      return rows_by_vectors<2, CodeType>(rows, std::make_integer_sequence<int, most / 2>());
    default:
      return rows_by_vectors<4, CodeType>(rows, std::make_integer_sequence<int, most / 4>());
  }
}

template <int most>
void run_rows(const Rows& rows) {
  switch (rows.code) {
    case Code::value:
      return rows_by_count<most, float>(rows);
    case Code::byte:
      return rows_by_count<most, uint8_t>(rows);
    case Code::word:
      return rows_by_count<most, uint16_t>(rows);
  }
}

inline float fused(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

template <class CodeType>
void dot_of(const Rows& all) {
  // Four chains side by side while all have entries, then each to its end.
  const Row* four[4];
  float sum[4];
  int64_t common = all.rows->count;
  for (int r = 0; r < 4; ++r) {
    four[r] = all.rows + (r < all.count ? r : all.count - 1);
    common = four[r]->count < common ? four[r]->count : common;
    sum[r] = *four[r]->sums;
  }
  const auto step = [&](int r, int64_t i) {
    const float w = value_of(static_cast<const CodeType*>(four[r]->codes), all.book, i);
    sum[r] = fused(all.planes[four[r]->offsets[i]], w, sum[r]);
  };
  for (int64_t i = 0; i < common; ++i)
    for (int r = 0; r < 4; ++r) step(r, i);
  for (int r = 0; r < all.count; ++r) {
    for (int64_t i = common; i < four[r]->count; ++i) step(r, i);
    *four[r]->sums = sum[r];
  }
}

void dot(const Rows& rows) {
  switch (rows.code) {
    case Code::value:
      return dot_of<float>(rows);
    case Code::byte:
      return dot_of<uint8_t>(rows);
    case Code::word:
      return dot_of<uint16_t>(rows);
  }
}

void finish(const float* sums, int64_t stride, int64_t count, int64_t columns, float* out, int64_t ld,
            const float* residual, int64_t residual_ld, float low, float high) {
  const Vec lowest = broadcast(low), highest = broadcast(high);
  for (int64_t at = 0; at < count; at += kWidth) {
    Vec block[kWidth];
    for (int i = 0; i < kWidth; ++i) block[i] = load(sums + i * stride + at);
    transpose(block);
    const int64_t n = count - at < kWidth ? count - at : kWidth;
    for (int64_t i = 0; i < n; ++i) {
      Vec y = block[i];
      if (residual != nullptr) y = add(y, load(residual + (at + i) * residual_ld, columns));
      store(out + (at + i) * ld, min(highest, max(lowest, y)), columns);
    }
  }
}

void spread(const float* in, int64_t ld, int64_t count, int64_t columns, float* planes, int64_t stride) {
  for (int64_t at = 0; at < count; at += kWidth) {
    Vec block[kWidth];
    const int64_t n = count - at < kWidth ? count - at : kWidth;
    for (int64_t i = 0; i < kWidth; ++i) block[i] = i < n ? load(in + (at + i) * ld, columns) : zero();
    transpose(block);
    for (int64_t i = 0; i < columns; ++i) store(planes + i * stride + at, block[i], n);
  }
}

void shift(const paring::sparse::Shift& s) {
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t j = 0; j < s.lines; ++j) {
      const float* from = s.from + c * s.from_channel + j * s.shift;
      float* to = s.to + c * s.to_channel + j * s.to_line;
      for (int64_t y = 0; y < s.rows; ++y, from += s.from_row, to += s.length) {
        int64_t x = 0;
        for (; x + kWidth <= s.length; x += kWidth) store(to + x, load(from + x));
        if (x < s.length) store(to + x, load(from + x, s.length - x), s.length - x);
      }
    }
  }
}

}  // namespace

namespace paring::sparse {

extern const Kernel PARING_KERNEL;
#if defined(__AVX512F__)
constexpr int kMostVectors = 16;
#elif defined(__AVX2__)
constexpr int kMostVectors = 6;
#else
constexpr int kMostVectors = 4;
#endif
const Kernel PARING_KERNEL{run_rows<kMostVectors>, dot, finish, spread, shift, kMostVectors};

}  // namespace paring::sparse
