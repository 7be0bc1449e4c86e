// Binary arithmetic coder: carry-less, 64-bit interval, 16-bit probabilities.
//
// The interval is [low, high], both ends included. A bit splits it in proportion to the probability of a one; leading
// bytes on which both ends agree are shifted out. The code ends with the fewest bytes that, continued by zeros, lie in
// the interval, so that the decoder knows to the byte where a code must end. Before that comes an end mark of 16 bits,
// each at probability 1/2: a code that was cut would else be a good code of other last values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

namespace paring::coding {

// A code that no encoder writes: it runs out, has bytes left over or holds a value out of range.
struct CodeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr uint32_t kEndMark = 0xa55a;
constexpr uint32_t kEvens = 1u << 15;  // probability 1/2

struct Interval {
  uint64_t low = 0;
  uint64_t high = ~uint64_t{0};

  // Last value of the part that stands for a one; `one` in 1 .. 65535 is its probability in 1/65536.
  uint64_t split(uint32_t one) const {
    const uint64_t range = high - low;
    return low + (range >> 16) * one + (((range & 0xffff) * one) >> 16);
  }
  void take(int bit, uint64_t middle) {
    if (bit) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  bool settled() const { return ((low ^ high) >> 56) == 0; }
  void shift() {
    low <<= 8;
    high = (high << 8) | 0xff;
  }
  // The end of the code: `length` leading bytes of `value`.
  struct End {
    uint64_t value;
    int length;
  };
  End end() const {
    for (int length = 0; length < 8; ++length) {
      const uint64_t rest = length == 0 ? ~uint64_t{0} : ~uint64_t{0} >> (8 * length);
      const uint64_t value = (low & rest) == 0 ? low : (low | rest) + 1;  // wraps to 0 past the last byte string
      if (value >= low && value <= high) return {value, length};
    }
    return {low, 8};
  }
};

class Encoder {
 public:
  static constexpr bool decodes = false;

  int code(int bit, uint32_t one) {
    interval_.take(bit, interval_.split(one));
    while (interval_.settled()) {
      bytes_.push_back(static_cast<uint8_t>(interval_.high >> 56));
      interval_.shift();
    }
    return bit;
  }
  size_t position() const { return bytes_.size(); }
  // Ends the code and hands its bytes over.
  std::vector<uint8_t> finish() {
    for (int i = 15; i >= 0; --i) code(static_cast<int>(kEndMark >> i & 1), kEvens);
    const auto [value, length] = interval_.end();
    for (int i = 0; i < length; ++i) bytes_.push_back(static_cast<uint8_t>(value >> (56 - 8 * i)));
    interval_ = {};
    return std::move(bytes_);
  }

 private:
  Interval interval_;
  std::vector<uint8_t> bytes_;
};

class Decoder {
 public:
  static constexpr bool decodes = true;

  Decoder(const uint8_t* data, size_t size) : bytes_(data, data + size) {
    for (int i = 0; i < 8; ++i) value_ = (value_ << 8) | next();
  }
  int code(int /*bit*/, uint32_t one) {
    const uint64_t middle = interval_.split(one);
    const int bit = value_ <= middle;
    interval_.take(bit, middle);
    while (interval_.settled()) {
      interval_.shift();
      value_ = (value_ << 8) | next();
      if (++shifted_ > bytes_.size()) throw CodeError("code runs out");
    }
    return bit;
  }
  size_t position() const { return shifted_; }
  // Throws unless the code ends here, exactly as an encoder would have ended it.
  void finish() {
    for (int i = 15; i >= 0; --i) {
      if (code(0, kEvens) != static_cast<int>(kEndMark >> i & 1)) throw CodeError("end mark is missing");
    }
    const auto [value, length] = interval_.end();
    if (bytes_.size() - shifted_ > static_cast<size_t>(length)) throw CodeError("bytes are left over");
    if (bytes_.size() - shifted_ < static_cast<size_t>(length)) throw CodeError("code runs out");
    if (value_ != value) throw CodeError("code does not end as it must");
  }

 private:
  uint8_t next() { return read_ < bytes_.size() ? bytes_[read_++] : 0; }

  Interval interval_;
  std::vector<uint8_t> bytes_;
  size_t read_ = 0;
  size_t shifted_ = 0;
  uint64_t value_ = 0;
};

}  // namespace paring::coding
