// Probabilities that learn: counters, and the mixer that weighs them in the logistic domain. Integers only.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace paring::coding {

constexpr int kLimit = 3071;  // ends of the logistic domain, in 1/256: 12 nats

struct Tables {
  std::array<uint16_t, 2 * kLimit + 1> squash;  // [x + kLimit]: 65536 / (1 + exp(-x / 256)), 1 .. 65535
  std::array<int16_t, 4096> stretch;            // [p >> 4]: the inverse
  std::array<uint16_t, 1024> rate;              // [n]: 65536 / (n + 1.6)
  Tables();
};
extern const Tables tables;

inline uint32_t squash(int x) { return tables.squash[static_cast<size_t>(std::clamp(x, -kLimit, kLimit) + kLimit)]; }

// A probability of a one in 22 bits and, in the low 10 bits, how often it was seen.
struct Counter {
  uint32_t state = 0x80000000u;

  int stretched() const { return tables.stretch[state >> 20]; }
  uint32_t count() const { return state & 1023; }
  void update(int bit, uint32_t limit) {
    const uint32_t n = count();
    const int64_t p = state >> 10;
    const int64_t target = bit ? (1 << 22) - 1 : 0;
    const int64_t moved = p + ((target - p) * tables.rate[n] >> 16);
    state = static_cast<uint32_t>(moved) << 10 | (n < limit ? n + 1 : n);
  }
};

// One binary decision at a time: the counters of its contexts, weighed by a set of weights chosen by the caller.
template <int N>
class Mixer {
 public:
  explicit Mixer(size_t sets, int32_t first) : weights_(sets * N, first), counts_(sets, 0) {}

  template <class Coder>
  int code(Coder& coder, int bit, std::array<Counter*, N> inputs, size_t set, uint32_t limit) {
    int32_t* weights = &weights_[set * N];
    int x[N];
    int64_t sum = 0;
    for (int i = 0; i < N; ++i) {
      x[i] = inputs[i]->stretched();
      sum += static_cast<int64_t>(weights[i]) * x[i];
    }
    const uint32_t p = squash(static_cast<int>(std::clamp<int64_t>(sum >> 16, -kLimit, kLimit)));
    bit = coder.code(bit, p);
    const int32_t error = (bit << 16) - static_cast<int32_t>(p);
    const int32_t rate = 2 + 30 / (1 + counts_[set] / 16);
    if (counts_[set] < 1023) ++counts_[set];
    for (int i = 0; i < N; ++i) {
      const int64_t step = (static_cast<int64_t>(x[i]) * error * rate + (1 << 19)) >> 20;
      weights[i] = static_cast<int32_t>(std::clamp<int64_t>(weights[i] + step, -(1 << 20), 1 << 20));
      inputs[i]->update(bit, limit);
    }
    return bit;
  }

 private:
  std::vector<int32_t> weights_;
  std::vector<int32_t> counts_;
};

}  // namespace paring::coding
