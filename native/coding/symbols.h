// The adaptive coder of symbol arrays: what a weight's neighbours say about it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coding/logistic.h"

namespace paring::coding {

// A weight as filters x channels x positions: (out, in / groups, kh * kw).
struct Geometry {
  uint32_t filters = 1, channels = 1, positions = 1, width = 1;
};

// How symbols are read: 0 is zero, 1 .. negatives are negative values, the rest positive, all in ascending order.
struct Alphabet {
  uint32_t size = 2, negatives = 0;
};

constexpr int kInputs = 8;
constexpr uint32_t kSlots = 1 << 12;  // of one context

// ceil-free log2 in half steps of the mean sum / n, 0 .. 31; 20 is a mean of one.
inline uint32_t level(uint32_t sum, uint32_t n) {
  const uint64_t r = std::max<uint64_t>(1, (uint64_t{2} * sum + 1) * 1024 / (uint64_t{2} * n + 2));
  const int log = std::bit_width(r) - 1;
  const uint32_t half = log > 0 ? static_cast<uint32_t>(r >> (log - 1) & 1) : 0;
  return std::min<uint32_t>(31, 2 * static_cast<uint32_t>(log) + half);
}

class SymbolModel {
 public:
  SymbolModel() : zero_(kInputs * kSlots), sign_(kInputs * kSlots), size_(kInputs * kSlots * 4),
    zero_mixer_(256, 1 << 14), sign_mixer_(64, 1 << 14), size_mixer_(256, 1 << 14) {}

  // Encodes `values`, or fills them in.
  template <class Coder, class T>
  void code(Coder& coder, T* values, const Geometry& g, const Alphabet& a) {
    std::vector<uint32_t> magnitude(a.size);
    for (uint32_t s = 1; s < a.size; ++s) magnitude[s] = s <= a.negatives ? a.negatives + 1 - s : s - a.negatives;
    const uint32_t row_length = g.channels * g.positions;
    std::vector<uint32_t> column_sum(row_length), column_count(row_length), channel_sum(g.channels);
    std::vector<int32_t> column_sign(row_length);
    const T none = 0;
    uint32_t last_row_level = 20;
    for (uint32_t o = 0; o < g.filters; ++o) {
      T* row = values + size_t{o} * row_length;
      const T* above_row = o ? row - row_length : nullptr;
      uint32_t row_sum = 0, row_count = 0; int row_sign = 0;
      uint32_t h1 = 0, h2 = 0, h3 = 0;
      for (uint32_t c = 0, j = 0; c < g.channels; ++c) {
        uint32_t kernel_sum = 0;
        for (uint32_t k = 0; k < g.positions; ++k, ++j) {
          const uint32_t x = k % g.width;
          const bool flat = g.positions == 1;
          const T left = flat ? (j ? row[j - 1] : none) : (x ? row[j - 1] : none);
          const T up = flat ? (j > 1 ? row[j - 2] : none) : (k >= g.width ? row[j - g.width] : none);
          const T back = c && !flat ? row[j - g.positions] : none;
          const T above = above_row ? above_row[j] : none;
          const T above_right = above_row && j + 1 < row_length ? above_row[j + 1] : none;
          const uint32_t ml = q(magnitude[left]), mu = q(magnitude[up]), mb = q(magnitude[back]), ma = q(magnitude[above]), mr = q(magnitude[above_right]);
          const uint32_t row_level = level(row_sum, j), column_level = level(column_sum[j], o);
          const uint32_t column_density = level(column_count[j], o), row_density = level(row_count, j);
          const uint32_t nb = std::min<uint32_t>(7, std::bit_width(o));
          const uint32_t mb_row = std::min<uint32_t>(7, std::bit_width(j));
          uint32_t near_sum = column_count[j], near_n = o;
          if (j) near_sum += column_count[j - 1], near_n += o;
          if (j + 1 < row_length) near_sum += column_count[j + 1], near_n += o;
          const uint32_t near_level = level(near_sum, near_n);
          const uint32_t channel_level = level(channel_sum[c], o * g.positions + k);
          const uint32_t kernel_level = level(kernel_sum, k);

          // zero or not
          const uint32_t zc[kInputs] = {
              static_cast<uint32_t>(h1 > 0) | (h2 > 0) << 1 | (h3 > 0) << 2 | (ma > 0) << 3 | (mr > 0) << 4 | (mu > 0) << 5 | (mb > 0) << 6,
              column_density * 8 + nb,
              row_density * 8 + mb_row,
              column_level * 32 + row_level,
              near_level * 8 + nb,
              ml * 512 + mu * 64 + mb * 8 + ma,
              std::min<uint32_t>(k, 127) * 32 + kernel_level,
              channel_level * 32 + last_row_level,
          };
          T& value = row[j];
          int bit = zero_mixer_.code(coder, value != 0, slots(zero_, zc, kSlots), (flat ? 0 : 32) + column_density, 1023);
          uint32_t m = 0; int negative = 0;
          if (bit) {
            const uint32_t negatives = a.negatives, positives = a.size - 1 - a.negatives;
            negative = negatives > 0;
            if (negatives && positives) {
              const uint32_t sc[kInputs] = {0u, sign(left, a) * 9 + sign(up, a) * 3 + sign(back, a), sign(above, a) * 3 + sign(above_right, a),
                 static_cast<uint32_t>(column_sign[j] + 8), (uint32_t)(std::clamp(row_sign, -7, 7) + 8), std::min<uint32_t>(k, 127),
                 (uint32_t)(std::clamp(row_sign, -3, 3) + 3) * 16 + static_cast<uint32_t>(column_sign[j] + 8), 1u};
              negative = sign_mixer_.code(coder, value <= a.negatives, slots(sign_, sc, kSlots), 0, 1023);
            }
            const uint32_t most = negative ? negatives : positives;
            m = code_size(coder, magnitude[value], most, {
               0, ml * 8 + mu, ma * 8 + mr, row_level, column_level, mb * 32 + kernel_level, near_level, std::min(63u, (row_level + column_level))}, negative);
            if (Coder::decodes) value = static_cast<T>(negative ? negatives + 1 - m : negatives + m);
          } else if (Coder::decodes) value = 0;
          h3 = h2; h2 = h1; h1 = m;
          row_sum += m; column_sum[j] += m; channel_sum[c] += m; kernel_sum += m; row_count += m > 0; column_count[j] += m > 0;
          if (m) { column_sign[j] = std::clamp(column_sign[j] + (negative ? -1 : 1), -7, 7); row_sign += negative ? -1 : 1; }
        }
      }
      last_row_level = level(row_sum, row_length);
    }
  }

 private:
  static uint32_t q(uint32_t m) { return m < 3 ? m : std::min<uint32_t>(7, 2 + std::bit_width((m - 1) / 2)); }
  template <class T> static uint32_t sign(T v, const Alphabet& a) { return v == 0 ? 0 : v <= a.negatives ? 1 : 2; }
  static std::array<Counter*, kInputs> slots(std::vector<Counter>& table, const uint32_t* contexts, uint32_t size) {
    std::array<Counter*, kInputs> out;
    for (uint32_t i = 0; i < kInputs; ++i) out[i] = &table[i * size + contexts[i] % size];
    return out;
  }
  template <class Coder>
  int size_bit(Coder& coder, int bit, const std::array<uint32_t, kInputs>& contexts, uint32_t node) {
    uint32_t full[kInputs];
    for (int i = 0; i < kInputs; ++i) full[i] = contexts[i] * 256 + node;
    return size_mixer_.code(coder, bit, slots(size_, full, kSlots * 4), node, 1023);
  }
  // 1 .. most: the bit length of m in unary, then its lower bits.
  template <class Coder>
  uint32_t code_size(Coder& coder, uint32_t m, uint32_t most, const std::array<uint32_t, kInputs>& contexts, int negative) {
    auto with_sign = contexts; with_sign[0] = negative;
    const int longest = std::bit_width(most);
    int length = 1;
    while (length < longest && size_bit(coder, std::bit_width(m) > length, with_sign, length)) ++length;
    uint32_t value = 1;
    for (int b = length - 2; b >= 0; --b) {
      if ((((value << 1) | 1) << b) > most) { value <<= 1; continue; }
      const uint32_t node = value < 8 ? 32 + (length & 15) * 8 + value : 160 + std::min(length, 15) * 4 ;
      value = value << 1 | size_bit(coder, m >> b & 1, with_sign, std::min(node, 255u));
    }
    return value;
  }

  std::vector<Counter> zero_, sign_, size_;
  Mixer<kInputs> zero_mixer_, sign_mixer_, size_mixer_;
};

}  // namespace paring::coding
