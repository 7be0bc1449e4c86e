// The adaptive coder of floating-point arrays: sign, exponent and leading bits of the mantissa are learnt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "coding/logistic.h"

namespace paring::coding {

class NumberModel {
 public:
  NumberModel() : table_(4 * (1 << 14)), mixer_(1024, 1 << 15) {}

  // `bits` is 32 or 16. Encodes the patterns, or fills them in.
  template <class Coder, class T>
  void code(Coder& coder, T* values, size_t count) {
    constexpr int bits = 8 * sizeof(T), exponent_bits = bits == 32 ? 8 : 5, mantissa_bits = bits - 1 - exponent_bits;
    T all = 0;
    if (!Coder::decodes) for (size_t i = 0; i < count; ++i) all |= values[i];
    int spare = 0;  // low bits that are zero in every value
    while (spare < mantissa_bits && !(all >> spare & 1)) ++spare;
    spare = static_cast<int>(direct(coder, static_cast<uint32_t>(spare), 5));
    if (spare > mantissa_bits) throw CodeError("spare bits are out of range");
    constexpr int modelled = 3;
    T last = 0;
    uint32_t same = 0, e1 = 0, e2 = 0;
    for (size_t i = 0; i < count; ++i) {
      const T v = values[i];
      const bool repeats = bit(coder, v == last && i, 0, same & 3, same & 15, 0, 0);
      same = same << 1 | repeats;
      if (repeats) {
        if constexpr (Coder::decodes) values[i] = last;
        continue;
      }
      const uint32_t s1 = last >> (bits - 1);
      T out = static_cast<T>(bit(coder, v >> (bits - 1) & 1, 1, s1, s1 * 256 + e1, 0, 0));
      uint32_t node = 1;
      for (int b = bits - 2; b >= mantissa_bits; --b) {
        const int y = bit(coder, v >> b & 1, 256 + node, e1, e1 > e2 ? e2 + 256 : e2, static_cast<uint32_t>(out), s1);
        node = node << 1 | y;
      }
      const uint32_t e = node & ((1u << exponent_bits) - 1);
      out = static_cast<T>(out << exponent_bits | static_cast<T>(e));
      uint32_t prefix = 1;
      int b = mantissa_bits - 1;
      for (; b >= mantissa_bits - modelled && b >= spare; --b) {
        const int y = bit(coder, v >> b & 1, 512 + prefix, e, e1, 0, 1);
        prefix = prefix << 1 | y;
        out = static_cast<T>(out << 1 | y);
      }
      const int rest = b - spare + 1;
      if (rest > 0) {
        out = static_cast<T>(static_cast<uint64_t>(out) << rest | direct(coder, static_cast<uint32_t>(v >> spare & ((T{1} << rest) - 1)), rest));
      }
      out = static_cast<T>(static_cast<uint64_t>(out) << spare);
      if constexpr (Coder::decodes) values[i] = out;
      last = out; e2 = e1; e1 = e;
    }
  }

 private:
  template <class Coder>
  static uint32_t direct(Coder& coder, uint32_t value, int bits) {
    uint32_t out = 0;
    for (int b = bits - 1; b >= 0; --b) out = out << 1 | static_cast<uint32_t>(coder.code(value >> b & 1, 32768));
    return out;
  }
  template <class Coder>
  int bit(Coder& coder, int y, uint32_t node, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint32_t contexts[4] = {0, a, b, c * 2 + d};
    std::array<Counter*, 4> inputs;
    for (uint32_t i = 0; i < 4; ++i) inputs[i] = &table_[i << 14 | ((contexts[i] * 2654435761u >> 9 ^ node * 40503u) & 16383)];
    return mixer_.code(coder, y, inputs, node, 1023);
  }
  std::vector<Counter> table_;
  Mixer<4> mixer_;
};

// Bytes of text and structure: orders 0 to 3.
class ByteModel {
 public:
  ByteModel() : table_(4 << 16), mixer_(256, 1 << 14) {}
  template <class Coder>
  void code(Coder& coder, uint8_t* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      uint32_t node = 1;
      for (int b = 7; b >= 0; --b) {
        std::array<Counter*, 4> inputs;
        for (uint32_t k = 0; k < 4; ++k) {
          const uint32_t context = k == 0 ? 0 : history_ & (~0u >> (32 - 8 * k));
          inputs[k] = &table_[k << 16 | ((context * 2654435761u ^ node * 0x9E3779B1u) >> 16)];
        }
        node = node << 1 | static_cast<uint32_t>(mixer_.code(coder, bytes[i] >> b & 1, inputs, node & 255, 255));
      }
      if constexpr (Coder::decodes) bytes[i] = static_cast<uint8_t>(node);
      history_ = history_ << 8 | (node & 255);
    }
  }
 private:
  uint32_t history_ = 0;
  std::vector<Counter> table_;
  Mixer<4> mixer_;
};

}  // namespace paring::coding
