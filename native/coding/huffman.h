// Canonical Huffman codes: the symbols themselves; the table of lengths is read and written by the caller.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "coding/arithmetic.h"

namespace paring::coding {

constexpr int kLongest = 24;  // bits of a code

// Symbols in canonical order with the first code and first place of every length.
class HuffmanTable {
 public:
  // `lengths[s]` is the code length of symbol s, 0 if it has none. Throws unless the lengths are those of a complete
  // prefix code, or a single one of length 1.
  HuffmanTable(const uint8_t* lengths, size_t alphabet) {
    for (size_t s = 0; s < alphabet; ++s) {
      if (lengths[s] > kLongest) throw CodeError("code length is out of range");
      ++counts_[lengths[s]];
    }
    counts_[0] = 0;
    uint64_t room = 0;  // in units of the longest code
    uint32_t code = 0, place = 0;
    for (int length = 1; length <= kLongest; ++length) {
      code = (code + counts_[length - 1]) << 1;
      first_code_[length] = code;
      first_place_[length] = place;
      place += counts_[length];
      room += uint64_t{counts_[length]} << (kLongest - length);
    }
    const bool single = place == 1 && counts_[1] == 1;
    if (room != uint64_t{1} << kLongest && !single) throw CodeError("code lengths are not those of a prefix code");
    symbols_.resize(place);
    std::array<uint32_t, kLongest + 1> next = first_place_;
    for (size_t s = 0; s < alphabet; ++s)
      if (lengths[s]) symbols_[next[lengths[s]]++] = static_cast<uint32_t>(s);
  }

  // Decodes `count` symbols from bit `start` on, most significant bit first; returns the bit after the last.
  template <class T>
  size_t decode(const uint8_t* data, size_t size, size_t start, T* out, size_t count) const {
    const size_t end = 8 * size;
    size_t at = start;
    for (size_t i = 0; i < count; ++i) {
      uint32_t code = 0;
      int length = 0;
      for (;;) {
        if (at >= end) throw CodeError("code runs out");
        code = code << 1 | (data[at >> 3] >> (7 - (at & 7)) & 1);
        ++at;
        if (++length > kLongest) throw CodeError("code is none of the table");
        if (code - first_code_[length] < counts_[length]) break;  // wraps to a large number below the first
      }
      out[i] = static_cast<T>(symbols_[first_place_[length] + (code - first_code_[length])]);
    }
    return at;
  }

  // Appends the codes of `values` to `bytes`, of whose last byte `used` bits are taken (0: none open).
  template <class T>
  static int encode(const uint8_t* lengths, const uint32_t* codes, const T* values, size_t count,
                    std::vector<uint8_t>& bytes, int used) {
    for (size_t i = 0; i < count; ++i) {
      for (int b = lengths[values[i]] - 1; b >= 0; --b) {
        if (used == 0) bytes.push_back(0);
        bytes.back() |= static_cast<uint8_t>((codes[values[i]] >> b & 1) << (7 - used));
        used = (used + 1) & 7;
      }
    }
    return used;
  }

 private:
  std::array<uint32_t, kLongest + 1> counts_{}, first_code_{}, first_place_{};
  std::vector<uint32_t> symbols_;
};

}  // namespace paring::coding
