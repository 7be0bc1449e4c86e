// Probabilities that learn: counters, and the mixer that weighs them in the logistic domain. Integers only.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace paring::coding {

constexpr int kLimit = 3071;         // ends of the logistic domain, in 1/256: 12 nats
constexpr uint32_t kSmall = 1 << 12;  // numbers of samples from here on are halved before they divide

struct Tables {
  std::array<uint16_t, 2 * kLimit + 1> squash;     // [x + kLimit]: 65536 / (1 + exp(-x / 256)), 1 .. 65535
  std::array<int16_t, 4096> stretch;               // [p >> 4]: the inverse
  std::array<uint16_t, 1024> rate;                 // [n]: 65536 / (n + 1.36)
  std::array<uint16_t, 1024> trust;                // [n]: 256 (n + 0.25) / (n + 1.79)
  std::array<uint32_t, 2 * kSmall + 1> reciprocal;  // [n]: 2^32 / n
  Tables();
};
extern const Tables tables;

inline uint32_t squash(int64_t x) {
  return tables.squash[static_cast<size_t>(std::clamp<int64_t>(x, -kLimit, kLimit) + kLimit)];
}
inline int stretch(uint32_t p) { return tables.stretch[p >> 4]; }

// `sum` over `n` samples with both halved until n is small.
struct Ratio {
  uint64_t sum;
  uint32_t n;
  Ratio(uint64_t total, uint64_t samples) {
    const int halvings = std::max(0, static_cast<int>(std::bit_width(samples)) - 12);
    sum = total >> halvings;
    n = static_cast<uint32_t>(samples >> halvings);
  }
};

// log2 of the mean sum / n in half steps, 0 .. 31; a mean of one is 20. `sum` is at most 2^16 n.
inline uint32_t level(uint64_t sum, uint64_t n) {
  const Ratio ratio(sum, n);
  const uint64_t mean = std::max<uint64_t>(1, (2 * ratio.sum + 1) * tables.reciprocal[2 * ratio.n + 2] >> 22);
  const uint32_t whole = static_cast<uint32_t>(std::bit_width(mean)) - 1;
  const uint32_t half = whole ? static_cast<uint32_t>(mean >> (whole - 1) & 1) : 0;
  return std::min<uint32_t>(31, 2 * whole + half);
}

// Share of ones among n samples, in 1/65536, when `strength` samples of share `prior` went before.
inline uint32_t share(uint64_t ones, uint64_t n, uint32_t prior, uint32_t strength) {
  const Ratio ratio(ones, n);
  const uint64_t weighted = (ratio.sum << 16) + uint64_t{prior} * strength;
  return static_cast<uint32_t>(std::min<uint64_t>(65535, weighted * tables.reciprocal[ratio.n + strength] >> 32));
}

// A probability of a one in 22 bits and, in the low 10 bits, how often it was asked for.
struct Counter {
  uint32_t state = 0x80000000u;

  uint32_t probability() const { return std::clamp<uint32_t>(state >> 16, 1, 65535); }
  // What it has to say: less while it has seen little.
  int stretched() const { return tables.stretch[state >> 20] * tables.trust[state & 1023] >> 8; }
  void update(int bit, uint32_t limit) {
    const uint32_t n = state & 1023;
    const int64_t p = state >> 10;
    const int64_t target = bit ? (1 << 22) - 1 : 0;
    const int64_t moved = p + ((target - p) * tables.rate[n] >> 16);
    state = static_cast<uint32_t>(moved) << 10 | (n < limit ? n + 1 : n);
  }
};

// How fast a kind of decision learns.
struct Pace {
  uint32_t limit;              // counters count up to here, at most 1023
  uint32_t base, extra, half;  // step of the mixer: base + extra half / (half + number of decisions)
};

// Weighs N inputs for one decision; the set of weights is chosen by the caller.
template <int N>
class Mixer {
 public:
  Mixer(size_t sets, const std::array<int32_t, N>& first, const Pace& pace) : pace_(pace), counts_(sets, 0) {
    for (size_t set = 0; set < sets; ++set) weights_.insert(weights_.end(), first.begin(), first.end());
    for (uint32_t n = 0; n < steps_.size(); ++n)
      steps_[n] = static_cast<int32_t>(pace.base + pace.extra * pace.half / (pace.half + n));
  }

  uint32_t predict(const std::array<int, N>& x, size_t set) const {
    const int32_t* weights = &weights_[set * N];
    int64_t sum = 0;
    for (size_t i = 0; i < N; ++i) sum += int64_t{weights[i]} * x[i];
    return squash(sum >> 16);
  }
  void update(const std::array<int, N>& x, size_t set, int bit, uint32_t p) {
    int32_t* weights = &weights_[set * N];
    const int64_t push = int64_t{(bit << 16) - static_cast<int32_t>(p)} * steps_[counts_[set]];
    if (counts_[set] < steps_.size() - 1) ++counts_[set];
    for (size_t i = 0; i < N; ++i) {
      const int64_t moved = weights[i] + ((x[i] * push + (1 << 23)) >> 24);
      weights[i] = static_cast<int32_t>(std::clamp<int64_t>(moved, -(1 << 20), 1 << 20));
    }
  }

  // Codes one decision on which only counters have a say.
  template <class Coder>
  int code(Coder& coder, int bit, const std::array<Counter*, N>& inputs, size_t set) {
    std::array<int, N> x;
    for (size_t i = 0; i < N; ++i) x[i] = inputs[i]->stretched();
    const uint32_t p = predict(x, set);
    bit = coder.code(bit, p);
    update(x, set, bit, p);
    for (Counter* input : inputs) input->update(bit, pace_.limit);
    return bit;
  }
  uint32_t limit() const { return pace_.limit; }

 private:
  Pace pace_;
  std::array<int32_t, 1024> steps_;
  std::vector<int32_t> weights_;
  std::vector<uint32_t> counts_;
};

// A number of so many bits, each as likely a one as a zero.
template <class Coder>
uint32_t code_plain(Coder& coder, uint32_t value, int bits) {
  uint32_t out = 0;
  for (int b = bits - 1; b >= 0; --b) out = out << 1 | static_cast<uint32_t>(coder.code(value >> b & 1, 32768));
  return out;
}

// Multiplicative hash of a context and a node into 2^bits slots.
inline uint32_t slot(uint32_t context, uint32_t node, int bits) {
  return (context * 0x85EBCA6Bu + node) * 0x9E3779B1u >> (32 - bits);
}

}  // namespace paring::coding
