// What a compiled plan is made of: values that lie in buffers, and steps that read and write them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "engine/isa.h"
#include "engine/memory.h"
#include "engine/threads.h"

namespace paring {

// The product of numbers that are not negative, or the largest number if it is larger. For estimates of work from
// attributes: a stride of 2^30 both ways is allowed.
inline int64_t bounded_product(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  for (int64_t factor : factors)
    if (factor == 0) return 0;
  for (int64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product)) return std::numeric_limits<int64_t>::max();
  return product;
}

// One value during a run: n images of h x w pixels of c channels; element (i, y, x, k) lies at
// data[((i * h + y) * w + x) * ld + k], or in `codes` if the value is codes of a byte each; the other pointer is null.
// ld > c where the value is a slice of a wider one.
struct View {
  float* data = nullptr;
  int64_t n = 0, h = 0, w = 0, c = 0, ld = 0;
  uint8_t* codes = nullptr;

  int64_t pixels() const { return h * w; }
  int64_t rows() const { return n * h * w; }
  bool contiguous() const { return ld == c; }
  float* image(int64_t i) const { return data + i * h * w * ld; }
  uint8_t* code_image(int64_t i) const { return codes + i * h * w * ld; }
};

// What a step may use while it runs: threads, and scratch memory that every one of them may have to itself.
class Runner {
 public:
  explicit Runner(Threads* threads) : threads_(threads), scratch_(threads ? threads->count() : 1) {}

  int workers() const { return threads_ ? threads_->count() : 1; }

  template <class Task>
  void parallel(int64_t tasks, Task&& task) {
    if (threads_ != nullptr)
      threads_->run(tasks, task);
    else
      for (int64_t i = 0; i < tasks; ++i) task(i, 0);
  }
  // Splits [0, total) into ranges of at least `grain` (but no more than a few per thread): task(begin, end, worker).
  template <class Task>
  void ranges(int64_t total, int64_t grain, Task&& task) {
    int64_t pieces = workers() == 1 ? 1 : total / (grain < 1 ? 1 : grain);
    if (pieces > 4 * workers()) pieces = 4 * workers();
    if (pieces < 1) pieces = 1;
    parallel(pieces, [&](int64_t i, int worker) {
      const int64_t begin = total * i / pieces, end = total * (i + 1) / pieces;
      if (begin < end) task(begin, end, worker);
    });
  }
  // At least `bytes` of memory of this worker's own, aligned; contents are whatever the last user left.
  void* scratch(int worker, int64_t bytes) {
    scratch_[static_cast<std::size_t>(worker)].grow(bytes);
    return scratch_[static_cast<std::size_t>(worker)].data();
  }
  // The same, one for all workers together.
  void* shared(int64_t bytes) {
    shared_.grow(bytes);
    return shared_.data();
  }

 private:
  Threads* threads_;
  std::vector<Aligned<char>> scratch_;
  Aligned<char> shared_;
};

class Step {
 public:
  virtual ~Step() = default;
  // `in` in the order the step was given its values.
  virtual void run(const View* in, const View& out, Runner& runner) const = 0;
  // Which kernel it is, for tables: "conv2d gemm", "linear sparse".
  virtual std::string kind() const = 0;
  // Bytes of packed weights.
  virtual int64_t weight_bytes() const { return 0; }
};

}  // namespace paring
