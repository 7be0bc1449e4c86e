// See sparse.h.
#include <utility>

#include "kernels/simd.h"
#include "kernels/sparse/sparse.h"

namespace {

using paring::sparse::Code;
using paring::sparse::Row;

inline float value_of(const float* codes, const float*, int64_t i) { return codes[i]; }
inline float value_of(const uint8_t* codes, const float* book, int64_t i) { return book[codes[i]]; }
inline float value_of(const uint16_t* codes, const float* book, int64_t i) { return book[codes[i]]; }

template <int vectors, class CodeType>
void row_of(const Row& r) {
  const auto* codes = static_cast<const CodeType*>(r.codes);
  Vec sum[vectors];
  for (int v = 0; v < vectors; ++v) sum[v] = load(r.sums + v * kWidth);
  for (int64_t i = 0; i < r.count; ++i) {
    const float* at = r.planes + r.offsets[i] * r.unit;
    const Vec w = broadcast(value_of(codes, r.book, i));
    for (int v = 0; v < vectors; ++v) sum[v] = fma(load(at + v * kWidth), w, sum[v]);
  }
  for (int v = 0; v < vectors; ++v) store(r.sums + v * kWidth, sum[v]);
}

template <class CodeType, int... vectors>
void row_by_vectors(const Row& r, std::integer_sequence<int, vectors...>) {
  static constexpr void (*table[])(const Row&) = {row_of<vectors + 1, CodeType>...};
  table[r.vectors - 1](r);
}

template <int most>
void row(const Row& r) {
  using Sizes = std::make_integer_sequence<int, most>;
  switch (r.code) {
    case Code::value:
      return row_by_vectors<float>(r, Sizes());
    case Code::byte:
      return row_by_vectors<uint8_t>(r, Sizes());
    case Code::word:
      return row_by_vectors<uint16_t>(r, Sizes());
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
void dot_of(const Row* rows, int64_t count) {
  // Four chains side by side while all have entries, then each to its end.
  const Row last{rows[count - 1]};
  const Row* four[4] = {rows, count > 1 ? rows + 1 : &last, count > 2 ? rows + 2 : &last, count > 3 ? rows + 3 : &last};
  int64_t common = four[0]->count;
  float sum[4];
  for (int r = 0; r < 4; ++r) {
    common = four[r]->count < common ? four[r]->count : common;
    sum[r] = *four[r]->sums;
  }
  const auto step = [&](int r, int64_t i) {
    const float w = value_of(static_cast<const CodeType*>(four[r]->codes), four[r]->book, i);
    sum[r] = fused(four[r]->planes[four[r]->offsets[i]], w, sum[r]);
  };
  for (int64_t i = 0; i < common; ++i)
    for (int r = 0; r < 4; ++r) step(r, i);
  for (int r = 0; r < count; ++r) {
    for (int64_t i = common; i < four[r]->count; ++i) step(r, i);
    *four[r]->sums = sum[r];
  }
}

void dot(const Row* rows, int64_t count) {
  switch (rows->code) {
    case Code::value:
      return dot_of<float>(rows, count);
    case Code::byte:
      return dot_of<uint8_t>(rows, count);
    case Code::word:
      return dot_of<uint16_t>(rows, count);
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

}  // namespace
