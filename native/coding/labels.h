// The adaptive coder of symbols without an order (product codes, hashed buckets): a binary tree over the alphabet.
#pragma once

#include "coding/arithmetic.h"
#include "coding/symbols.h"

namespace paring::coding {

constexpr Pace kLabelPace{1023, 64, 960, 128};

class LabelModel {
 public:
  LabelModel()
      : counters_(kParts << kSlotBits), mixer_(256, {32768, 9830, 9830, 9830, 9830, 6554}, kLabelPace) {}

  template <class Coder, class T>
  void code(Coder& coder, T* values, const Geometry& g, const Alphabet& a) {
    const int bits = std::bit_width(a.size - 1);
    const uint64_t row_length = g.planes * g.places, count = g.filters * row_length;
    for (uint64_t i = 0, j = 0, k = 0; i < count; ++i) {
      const uint32_t left = i >= 1 ? values[i - 1] : 0, left2 = i >= 2 ? values[i - 2] : 0;
      const uint32_t above = i >= row_length ? values[i - row_length] : 0;
      const uint32_t contexts[kParts] = {0, left, above, static_cast<uint32_t>(j), static_cast<uint32_t>(k),
                                         left * 65536 + left2};
      uint32_t prefix = 0;
      for (int b = bits - 1; b >= 0; --b) {
        const uint32_t node = prefix | 1u << (bits - 1 - b);  // the bits so far under a leading one
        const uint32_t one = (prefix << 1) | 1;
        if (one << b > a.size - 1) {  // a one is out of range, so it is a zero
          prefix <<= 1;
          continue;
        }
        std::array<Counter*, kParts> inputs;
        for (size_t p = 0; p < kParts; ++p) inputs[p] = &counters_[(p << kSlotBits) + slot(contexts[p], node, kSlotBits)];
        const int bit = values[i] >> b & 1;
        prefix = prefix << 1 | static_cast<uint32_t>(mixer_.code(coder, bit, inputs, std::min(node, 255u)));
      }
      if constexpr (Coder::decodes) values[i] = static_cast<T>(prefix);
      if (++k == g.places) k = 0;
      if (++j == row_length) j = 0;
    }
  }

 private:
  static constexpr size_t kParts = 6;
  static constexpr int kSlotBits = 16;

  std::vector<Counter> counters_;
  Mixer<kParts> mixer_;
};

// Symbols as they are, each bit as likely a one as a zero.
template <class Coder, class T>
void code_stored(Coder& coder, T* values, uint64_t count, uint32_t size) {
  const int bits = std::bit_width(size - 1);
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t prefix = 0;
    for (int b = bits - 1; b >= 0; --b) {
      prefix <<= 1;
      if ((prefix | 1) << b <= size - 1) prefix |= static_cast<uint32_t>(coder.code(values[i] >> b & 1, 32768));
    }
    if constexpr (Coder::decodes) values[i] = static_cast<T>(prefix);
  }
}

}  // namespace paring::coding
