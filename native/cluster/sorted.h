// Values in ascending order with the sums of any run of them, for millions of values.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace paring::cluster {

// Count, sum and sum of squares of the first values, each taken from `Sorted::shift`.
struct Moments {
  double n = 0, s = 0, q = 0;
};

// Ascending; float32 by three passes of a radix sort over keys whose order is the values'.
inline void sort_ascending(std::vector<double>& values) { std::sort(values.begin(), values.end()); }
inline void sort_ascending(std::vector<float>& values) {
  constexpr int kBits = 11, kPasses = 3;
  constexpr uint32_t kMask = (1u << kBits) - 1;
  static_assert(sizeof(float) == sizeof(uint32_t));
  std::vector<uint32_t> keys(values.size());
  std::vector<std::array<size_t, kMask + 1>> counts(kPasses);
  for (auto& count : counts) count.fill(0);
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t key;
    std::memcpy(&key, &values[i], sizeof key);
    key ^= key >> 31 ? 0xffffffffu : 0x80000000u;  // negative values reversed, below all others
    keys[i] = key;
    for (int pass = 0; pass < kPasses; ++pass) ++counts[pass][key >> (pass * kBits) & kMask];
  }
  // The values' own memory serves as the second buffer; three passes end in it.
  const auto put = [&](size_t at, uint32_t key) { std::memcpy(&values[at], &key, sizeof key); };
  const auto get = [&](size_t at) {
    uint32_t key;
    std::memcpy(&key, &values[at], sizeof key);
    return key;
  };
  for (int pass = 0; pass < kPasses; ++pass) {
    size_t sum = 0;
    for (size_t& count : counts[pass]) sum += std::exchange(count, sum);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint32_t key = pass % 2 ? get(i) : keys[i];
      const size_t at = counts[pass][key >> (pass * kBits) & kMask]++;
      if (pass % 2) {
        keys[at] = key;
      } else {
        put(at, key);
      }
    }
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t key = get(i);
    put(i, key ^ (key >> 31 ? 0x80000000u : 0xffffffffu));
  }
}

template <class T>
class Sorted {
 public:
  explicit Sorted(std::vector<T> values) : values_(std::move(values)) {
    sort_ascending(values_);
    double total = 0;
    for (size_t start = 0; start < size(); start += kBlock) {
      double block = 0;
      for (size_t i = start; i < std::min(start + kBlock, size()); ++i) block += values_[i];
      total += block;
    }
    shift_ = total / static_cast<double>(size());
    build();
  }

  size_t size() const { return values_.size(); }
  double shift() const { return shift_; }
  double operator[](size_t i) const { return values_[i]; }

  // Of the first `count` values.
  Moments moments(size_t count) const {
    const size_t block = count / kBlock;
    Moments m{static_cast<double>(count), sums_[block].s, sums_[block].q};
    for (size_t i = block * kBlock; i < count; ++i) {
      const double x = values_[i] - shift_;
      m.s += x;
      m.q += x * x;
    }
    return m;
  }

  // How many values are below `bound`, or equal to it.
  size_t up_to(double bound) const {
    return static_cast<size_t>(std::upper_bound(values_.begin(), values_.end(), bound,
                                                [](double b, T v) { return b < static_cast<double>(v); }) -
                               values_.begin());
  }

  // Where each distinct value begins, and the end; nothing if there are more than `most` of them.
  std::vector<size_t> distinct(size_t most) const {
    std::vector<size_t> starts;
    for (size_t i = 0; i < size(); ++i)
      if (i == 0 || values_[i] != values_[i - 1]) {
        if (starts.size() == most) return {};
        starts.push_back(i);
      }
    starts.push_back(size());
    return starts;
  }

 private:
  static constexpr size_t kBlock = 256;

  // Sums up to every block, with the digits that one addition loses carried on to the next (Neumaier 1974).
  void build() {
    sums_.resize(size() / kBlock + 1);
    Moments sum, lost;
    for (size_t block = 0; block < sums_.size(); ++block) {
      sums_[block] = {0, sum.s + lost.s, sum.q + lost.q};
      Moments part;
      for (size_t i = block * kBlock; i < std::min((block + 1) * kBlock, size()); ++i) {
        const double x = values_[i] - shift_;
        part.s += x;
        part.q += x * x;
      }
      add(sum.s, lost.s, part.s);
      add(sum.q, lost.q, part.q);
    }
  }
  static void add(double& sum, double& lost, double term) {
    const double next = sum + term;
    lost += std::abs(sum) >= std::abs(term) ? (sum - next) + term : (term - next) + sum;
    sum = next;
  }

  std::vector<T> values_;
  std::vector<Moments> sums_;
  double shift_ = 0;
};

}  // namespace paring::cluster
