// The adaptive coder of floating-point arrays: sign, exponent and leading bits of the mantissa are learned.
#pragma once

#include "coding/arithmetic.h"
#include "coding/logistic.h"

namespace paring::coding {

constexpr Pace kNumberPace{255, 96, 900, 64};

class NumberModel {
 public:
  NumberModel() : counters_(kParts << kSlotBits), mixer_(4096, {26214, 19661, 13107, 6554}, kNumberPace) {}

  // Codes the patterns of binary32 or binary16 numbers, which a decoder fills in; `stored` bit by bit as they are.
  template <class Coder, class T>
  void code(Coder& coder, T* values, size_t count, bool stored) {
    stored = coder.code(stored, stored_.probability());
    stored_.update(stored, kNumberPace.limit);
    if (!stored) {
      code_learning(coder, values, count);
      return;
    }
    for (size_t i = 0; i < count; ++i) {
      const uint32_t high = sizeof(T) == 4 ? code_plain(coder, uint32_t{values[i]} >> 16, 16) : 0;
      const uint32_t low = code_plain(coder, values[i] & 0xffffu, 16);
      if constexpr (Coder::decodes) values[i] = static_cast<T>(high << 16 | low);
    }
  }

 private:
  template <class Coder, class T>
  void code_learning(Coder& coder, T* values, size_t count) {
    constexpr int kBits = 8 * sizeof(T), kExponent = kBits == 32 ? 8 : 5, kMantissa = kBits - 1 - kExponent;
    constexpr uint32_t kind = kBits == 32;
    const int spare = code_spare<Coder, T>(coder, values, count, kMantissa);
    const int learned = std::min(kLearned, kMantissa - spare);  // leading bits of the mantissa that are learned
    uint32_t last = 0, repeats = 0, head1 = 0, head2 = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint32_t value = values[i];
      const bool repeat = i && decide(coder, value == last, kind, {0, repeats & 7, repeats & 63, 0});
      repeats = repeats << 1 | repeat;
      if (!repeat) {
        uint32_t head = 1;  // sign and exponent under a leading one
        for (int b = kExponent; b >= 0; --b) {
          const uint32_t node = 1024 + kind * 512 + head;
          head = head << 1 | static_cast<uint32_t>(decide(coder, value >> (kMantissa + b) & 1, node,
                                                          {0, head1, head1 * 512 + head2, std::max(head1, head2)}));
        }
        head -= 1u << (kExponent + 1);
        uint32_t mantissa = 1;
        for (int b = 1; b <= learned; ++b) {
          const uint32_t node = 2048 + kind * 512 + mantissa, exponent = head & ((1u << kExponent) - 1);
          mantissa = mantissa << 1 | static_cast<uint32_t>(decide(coder, value >> (kMantissa - b) & 1, node,
                                                                  {0, exponent, head + 1024, head1}));
        }
        mantissa -= 1u << learned;
        const int rest = kMantissa - learned - spare;
        const uint32_t tail = code_plain(coder, value >> spare & ((1u << rest) - 1), rest);
        last = (head << kMantissa) | ((mantissa << rest | tail) << spare);
        head2 = head1;
        head1 = head;
      }
      if constexpr (Coder::decodes) values[i] = static_cast<T>(last);
    }
  }

  static constexpr int kLearned = 3, kSlotBits = 14;
  static constexpr size_t kParts = 4;

  // Number of low bits that are zero in every value, at most `most`.
  template <class Coder, class T>
  static int code_spare(Coder& coder, const T* values, size_t count, int most) {
    int spare = 0;
    if constexpr (!Coder::decodes) {
      uint32_t all = 0;
      for (size_t i = 0; i < count; ++i) all |= values[i];
      while (spare < most && !(all >> spare & 1)) ++spare;
    }
    spare = static_cast<int>(code_plain(coder, static_cast<uint32_t>(spare), 5));
    if (spare > most) throw CodeError("number of spare bits is out of range");
    return spare;
  }

  template <class Coder>
  int decide(Coder& coder, int bit, uint32_t node, const std::array<uint32_t, kParts>& contexts) {
    std::array<Counter*, kParts> inputs;
    for (size_t i = 0; i < kParts; ++i) inputs[i] = &counters_[(i << kSlotBits) + slot(contexts[i], node, kSlotBits)];
    return mixer_.code(coder, bit, inputs, node);
  }

  Counter stored_;
  std::vector<Counter> counters_;
  Mixer<kParts> mixer_;
};

}  // namespace paring::coding
