// The adaptive coder of symbol arrays: a weight's neighbors say whether it is zero, of which sign, and how large.
#pragma once

#include <memory>

#include "coding/arithmetic.h"
#include "coding/logistic.h"

namespace paring::coding {

// A weight seen as filters x planes x places, each plane an image of `width` columns. A fully connected layer or a
// 1 x 1 convolution (`flat`) is one plane a filter, of all its inputs.
struct Geometry {
  uint64_t filters, planes, places, width;
  bool flat;
};

// 0 is zero, 1 .. negatives are negative values, the rest positive, all in ascending order.
struct Alphabet {
  uint32_t size, negatives;
};

constexpr size_t kInputs = 8;
constexpr uint64_t kStatistics = 1 << 20;  // columns, groups or filters that statistics are kept for
constexpr Pace kZeroPace{600, 176, 1136, 178}, kSignPace{360, 1152, 3744, 206}, kSizePace{220, 302, 544, 203};

// What is known at one weight of what was coded before it.
struct Surroundings {
  // Symbols: in this plane left, up, and so on; at the same place one and two planes and filters before.
  uint32_t left, up, up_left, up_right, left2, up2, up_left2, up_right2, back, back2, above, above2, above_left,
      above_right;
  uint64_t column;  // of statistics
  uint64_t group;   // the plane, or the column if flat
  uint32_t place, kernel_level, row_level, column_level, near_level;
};

class SymbolModel {
 public:
  SymbolModel()
      : zero_(6 * kSmall), sign_(kInputs << 10), size_(kInputs << 15),
        zero_mixer_(16, {9175, 4588, 21627, 655, 21627, 6554, 5243, 2621}, kZeroPace),
        sign_mixer_(1, {11796, 11796, 11796, 11796, 11796, 11796, 11796, 11796}, kSignPace),
        size_mixer_(512, {18350, 13107, 18350, 2228, 4588, 5571, 13107, 9175}, kSizePace) {}

  // Codes `values`, which a decoder fills in.
  template <class Coder, class T>
  void code(Coder& coder, T* values, const Geometry& g, const Alphabet& a) {
    begin(g, a);
    std::vector<uint32_t> filter_counts(g.filters <= kStatistics ? g.filters : 0);
    const uint64_t row_length = g.planes * g.places;
    for (uint64_t o = 0; o < g.filters; ++o) {
      T* row = values + o * row_length;
      row_sum_ = row_count_ = 0;
      row_sign_ = 0;
      place_sums_.fill(0);
      for (uint64_t c = 0, j = 0; c < g.planes; ++c) {
        kernel_sum_ = 0;
        kernel_sign_ = 0;
        uint64_t x = 0;
        for (uint64_t k = 0; k < g.places; ++k, ++j) {
          const Surroundings s = look(row, g, o, c, k, x, j);
          const uint32_t symbol = code_one(coder, row[j], s, g, a, o, j, k);
          if constexpr (Coder::decodes) row[j] = static_cast<T>(symbol);
          learn(symbol, s, g, a);
          if (++x == g.width) x = 0;
        }
      }
      if (o < filter_counts.size()) filter_counts[o] = static_cast<uint32_t>(std::min<uint64_t>(row_count_, 0xffffffff));
    }
    last_filters_ = std::move(filter_counts);
  }

 private:
  void begin(const Geometry& g, const Alphabet& a) {
    magnitude_.assign(a.size, 0);
    for (uint32_t s = 1; s < a.size; ++s)
      magnitude_[s] = static_cast<uint8_t>(std::min<uint32_t>(255, s <= a.negatives ? a.negatives + 1 - s : s - a.negatives));
    const uint64_t row_length = g.planes * g.places, groups = g.flat ? row_length : g.planes;
    const uint64_t columns = std::min(row_length, kStatistics);
    column_sums_.assign(columns, 0);
    column_counts_.assign(columns, 0);
    column_signs_.assign(columns, 0);
    group_counts_.assign(std::min(groups, kStatistics), 0);
    total_ = total_count_ = 0;
    // What the filters of the layer before say of the columns they feed.
    links_.assign(group_counts_.size(), 16);
    uint64_t sum = 0;
    for (uint32_t count : last_filters_) sum += count;
    const uint64_t before = last_filters_.size();
    if (sum && groups % before == 0)
      for (size_t i = 0; i < links_.size(); ++i)
        links_[i] = static_cast<uint8_t>(level(last_filters_[i / (groups / before)] * before, sum));
  }

  template <class T>
  Surroundings look(const T* row, const Geometry& g, uint64_t o, uint64_t c, uint64_t k, uint64_t x, uint64_t j) const {
    const uint64_t w = g.width, row_length = g.planes * g.places;
    const T* at = row + j;
    const bool left = x >= 1, right = x + 1 < w, up = k >= w, left2 = x >= 2, right2 = x + 2 < w;
    Surroundings s;
    s.left = left ? *(at - 1) : 0;
    s.left2 = left2 ? *(at - 2) : 0;
    s.up = up ? *(at - w) : 0;
    s.up_left = up && left ? *(at - w - 1) : 0;
    s.up_right = up && right ? *(at - w + 1) : 0;
    s.up_left2 = up && left2 ? *(at - w - 2) : 0;
    s.up_right2 = up && right2 ? *(at - w + 2) : 0;
    s.up2 = k >= 2 * w ? *(at - 2 * w) : 0;
    s.back = c >= 1 ? *(at - g.places) : 0;
    s.back2 = c >= 2 ? *(at - 2 * g.places) : 0;
    s.above = o >= 1 ? *(at - row_length) : 0;
    s.above2 = o >= 2 ? *(at - 2 * row_length) : 0;
    s.above_left = o >= 1 && j >= 1 ? *(at - row_length - 1) : 0;
    s.above_right = o >= 1 && j + 1 < row_length ? *(at - row_length + 1) : 0;
    s.column = j % kStatistics;
    s.group = (g.flat ? j : c) % kStatistics;
    s.place = g.flat ? 0 : static_cast<uint32_t>(std::min<uint64_t>(k, 127));
    s.kernel_level = level(g.flat ? 0 : kernel_sum_, g.flat ? 0 : k);
    s.row_level = level(row_sum_, j);
    s.column_level = level(column_sums_[s.column], o);
    uint64_t near = 2 * column_counts_[s.column], columns = 2;
    const auto add = [&](uint64_t column) {
      near += column_counts_[column % kStatistics];
      ++columns;
    };
    if (left) add(j - 1);
    if (right && k + 1 < g.places) add(j + 1);
    if (up) add(j - w);
    if (k + w < g.places) add(j + w);
    s.near_level = level(near, columns * o);
    return s;
  }

  template <class Coder>
  uint32_t code_one(Coder& coder, uint32_t symbol, const Surroundings& s, const Geometry& g, const Alphabet& a,
                    uint64_t o, uint64_t j, uint64_t k) {
    if (!code_zero(coder, symbol != 0, s, g, o, j, k)) return 0;
    const uint32_t negatives = a.negatives, positives = a.size - 1 - a.negatives;
    const bool negative = negatives && (!positives || code_sign(coder, symbol <= negatives, s, a));
    const uint32_t rank = negative ? negatives + 1 - symbol : symbol - negatives;
    const uint32_t coded = code_size(coder, rank, negative ? negatives : positives, negative, s, g, a);
    return negative ? negatives + 1 - coded : negatives + coded;
  }

  template <class Coder>
  int code_zero(Coder& coder, int bit, const Surroundings& s, const Geometry& g, uint64_t o, uint64_t j, uint64_t k) {
    const uint32_t prior = share(total_count_, total_, 32768, 1);
    const uint32_t around = (s.left > 0) + (s.up > 0) + (s.up_left > 0) + (s.up_right > 0) + (s.left2 > 0) +
                            (s.up2 > 0) + (s.up_left2 > 0) + (s.up_right2 > 0);
    const uint32_t behind = (s.above > 0) + (s.above2 > 0) + (s.above_left > 0) + (s.above_right > 0) + (s.back > 0) +
                            (s.back2 > 0);
    const uint32_t contexts[6] = {
        s.column_level * 32 + s.row_level,
        class_of(s.left) * 512 + class_of(s.up) * 64 + class_of(s.back) * 8 + class_of(s.above),
        s.place * 32 + s.kernel_level,
        links_[s.group] * 8u + std::min<uint32_t>(7, static_cast<uint32_t>(std::bit_width(o))),
        (std::min(6u, around) * 8 + behind) * 16 + s.near_level / 2,
        std::min(63u, weight_around(s)) * 32 + s.column_level,
    };
    std::array<Counter*, 6> counters;
    std::array<int, kInputs> x;
    for (size_t i = 0; i < 6; ++i) {
      counters[i] = &zero_[i * kSmall + contexts[i]];
      x[i + 1] = counters[i]->stretched();
    }
    x[0] = stretch(share(row_count_, j, prior, 2));
    x[7] = stretch(share(group_counts_[s.group], g.flat ? o : o * g.places + k, prior, 7));
    const size_t set = (g.flat ? 0 : 8) + std::min<uint64_t>(o, 7);
    const uint32_t p = zero_mixer_.predict(x, set);
    bit = coder.code(bit, p);
    zero_mixer_.update(x, set, bit, p);
    for (Counter* counter : counters) counter->update(bit, zero_mixer_.limit());
    return bit;
  }

  template <class Coder>
  int code_sign(Coder& coder, int bit, const Surroundings& s, const Alphabet& a) {
    const int column_sign = column_signs_[s.column] + 8;
    const int64_t cross = value(s.left, a) + value(s.up, a);
    const int64_t star = 2 * cross + value(s.up_left, a) + value(s.up_right, a);
    const int64_t wide = star + value(s.left2, a) + value(s.up2, a) + value(s.up_left2, a) + value(s.up_right2, a);
    const uint32_t contexts[kInputs] = {
        sign_of(s.left, a) * 9 + sign_of(s.up, a) * 3 + sign_of(s.back, a),
        static_cast<uint32_t>(column_sign),
        static_cast<uint32_t>((std::clamp<int64_t>(row_sign_, -3, 3) + 3) * 16 + column_sign),
        signed_class(wide),
        signed_class(value(s.back, a) + value(s.back2, a)) * 32 + signed_class(value(s.above, a) + value(s.above2, a)),
        signed_class(cross),
        signed_class(star),
        signed_class(kernel_sign_) * 32 + signed_class(place_sums_[s.place]),
    };
    std::array<Counter*, kInputs> counters;
    for (size_t i = 0; i < kInputs; ++i) counters[i] = &sign_[(i << 10) + contexts[i]];
    return sign_mixer_.code(coder, bit, counters, 0);
  }

  // 1 .. most: the bit length of the rank in unary, then its lower bits.
  template <class Coder>
  uint32_t code_size(Coder& coder, uint32_t rank, uint32_t most, bool negative, const Surroundings& s,
                     const Geometry& g, const Alphabet& a) {
    const int64_t star = 2 * (value(s.left, a) + value(s.up, a)) + value(s.up_left, a) + value(s.up_right, a);
    const uint32_t left = magnitude_[s.left], up = magnitude_[s.up];
    const uint32_t near = 2 * std::min(15u, left) + 2 * std::min(15u, up) + std::min<uint32_t>(15, magnitude_[s.back]) +
                          std::min<uint32_t>(15, magnitude_[s.above]);
    const uint32_t contexts[kInputs] = {
        class_of(s.left) * 8 + class_of(s.up),
        s.row_level + s.column_level,
        links_[s.group],
        s.kernel_level,
        std::min(63u, left + up + magnitude_[s.up_left] + magnitude_[s.up_right]),
        s.row_level * 32 + s.column_level,
        signed_class(negative ? -star : star),
        s.row_level * 32 + level(near, 6),
    };
    const auto decide = [&](int bit, uint32_t node) {
      std::array<Counter*, kInputs> counters;
      for (size_t i = 0; i < kInputs; ++i) counters[i] = &size_[(i << 15) + slot(contexts[i], node, 15)];
      return size_mixer_.code(coder, bit, counters, node * 2 + g.flat);
    };
    const uint32_t longest = static_cast<uint32_t>(std::bit_width(most));
    const uint32_t actual = static_cast<uint32_t>(std::bit_width(rank));
    uint32_t length = 1;
    while (length < longest && decide(actual > length, length)) ++length;
    uint32_t out = 1;
    for (uint32_t b = length - 1; b-- > 0;) {
      out <<= 1;
      if ((out | 1) << b > most) continue;  // a one is out of range, so it is a zero
      const uint32_t node = out < 16 ? 32 + length * 8 + out / 2 : 192 + length;
      out |= static_cast<uint32_t>(decide(rank >> b & 1, node));
    }
    return out;
  }

  void learn(uint32_t symbol, const Surroundings& s, const Geometry& g, const Alphabet& a) {
    ++total_;
    if (!symbol) return;
    const bool negative = symbol <= a.negatives;
    const uint32_t m = magnitude_[symbol];
    const int64_t v = negative ? -int64_t{m} : m;
    ++total_count_;
    ++row_count_;
    row_sum_ += m;
    row_sign_ += negative ? -1 : 1;
    column_sums_[s.column] += m;
    ++column_counts_[s.column];
    column_signs_[s.column] = static_cast<int8_t>(std::clamp(column_signs_[s.column] + (negative ? -1 : 1), -7, 7));
    ++group_counts_[s.group];
    place_sums_[s.place] += v;
    if (!g.flat) {
      kernel_sum_ += m;
      kernel_sign_ += v;
    }
  }

  uint32_t weight_around(const Surroundings& s) const {
    return 2u * (magnitude_[s.left] + magnitude_[s.up]) + magnitude_[s.up_left] + magnitude_[s.up_right] +
           magnitude_[s.left2] + magnitude_[s.up2] + magnitude_[s.up_left2] + magnitude_[s.up_right2];
  }
  // 0, 1, 2, 3 .. 4, 5 .. 8, 9 .. 16, 17 .. 32, more
  uint32_t class_of(uint32_t symbol) const {
    const uint32_t m = magnitude_[symbol];
    return m < 3 ? m : std::min<uint32_t>(7, 2 + static_cast<uint32_t>(std::bit_width((m - 1) / 2)));
  }
  int64_t value(uint32_t symbol, const Alphabet& a) const {
    return symbol <= a.negatives ? -int64_t{magnitude_[symbol]} : magnitude_[symbol];
  }
  static uint32_t sign_of(uint32_t symbol, const Alphabet& a) { return symbol == 0 ? 0 : symbol <= a.negatives ? 1 : 2; }
  // The magnitude in half steps of log2, 0 .. 14, and 16 more if negative.
  static uint32_t signed_class(int64_t v) {
    const uint64_t m = static_cast<uint64_t>(v < 0 ? -v : v);
    const uint32_t length = static_cast<uint32_t>(std::bit_width(m));
    const uint32_t out = m < 3 ? static_cast<uint32_t>(m)
                               : std::min<uint32_t>(14, 2 * length - 2 + static_cast<uint32_t>(m >> (length - 2) & 1));
    return v < 0 ? 16 + out : out;
  }

  std::vector<Counter> zero_, sign_, size_;
  Mixer<kInputs> zero_mixer_, sign_mixer_, size_mixer_;
  std::vector<uint32_t> last_filters_;  // non-zero weights of each filter of the array before

  // of the array being coded
  std::vector<uint8_t> magnitude_, links_;
  std::vector<uint64_t> column_sums_, column_counts_, group_counts_;
  std::vector<int8_t> column_signs_;
  std::array<int64_t, 128> place_sums_;
  uint64_t total_, total_count_, row_sum_, row_count_, kernel_sum_;
  int64_t row_sign_, kernel_sign_;
};

}  // namespace paring::coding
