// The adaptive coder of byte strings: names and structure, from the three bytes before and the string so far.
#pragma once

#include "coding/arithmetic.h"
#include "coding/logistic.h"

namespace paring::coding {

constexpr Pace kTextPace{255, 200, 1600, 64};

class TextModel {
 public:
  TextModel() : counters_(kParts << kSlotBits), mixer_(256, {13107, 19661, 19661, 19661, 16384}, kTextPace) {}

  template <class Coder>
  void code(Coder& coder, uint8_t* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      uint32_t node = 1;
      const uint32_t contexts[kParts] = {0, history_ & 0xff, history_ & 0xffff, history_ & 0xffffff, word_};
      for (int b = 7; b >= 0; --b) {
        std::array<Counter*, kParts> inputs;
        for (size_t k = 0; k < kParts; ++k) inputs[k] = &counters_[(k << kSlotBits) + slot(contexts[k], node, kSlotBits)];
        const int bit = bytes[i] >> b & 1;
        node = node << 1 | static_cast<uint32_t>(mixer_.code(coder, bit, inputs, node));
      }
      const uint32_t byte = node & 0xff;
      if constexpr (Coder::decodes) bytes[i] = static_cast<uint8_t>(byte);
      history_ = history_ << 8 | byte;
      word_ = byte >= 'a' && byte <= 'z' ? (word_ + byte) * 0x2F0B4C47u : 0;
    }
  }

 private:
  static constexpr size_t kParts = 5;
  static constexpr int kSlotBits = 15;

  uint32_t history_ = 0;  // the last four bytes
  uint32_t word_ = 0;     // hash of the small letters just before
  std::vector<Counter> counters_;
  Mixer<kParts> mixer_;
};

// Neither writes nor reads: what passes through only teaches.
struct Teacher {
  static constexpr bool decodes = false;
  int code(int bit, uint32_t) { return bit; }
};

}  // namespace paring::coding
