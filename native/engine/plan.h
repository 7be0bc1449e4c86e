// A compiled network: buffers in one arena, values in the buffers, steps in order.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/step.h"

namespace paring {

enum class Place { arena, input, output };

// Memory of one or more values, in floats per image. The caller places arena buffers so that no two alive at the same
// time overlap; an input or output buffer is the caller's own array.
struct Buffer {
  Place place;
  int64_t size;    // floats per image
  int64_t offset;  // arena: in floats per image, a multiple of 16; else the number of the input or output
};

struct Value {
  int32_t buffer;
  int64_t offset;  // elements from the buffer's start, the first channel of a slice
  int64_t h, w, c, ld;
  bool codes = false;  // elements are bytes, not floats; images lie close, whatever the buffer's size in floats

  int64_t pixels() const { return h * w; }
};

class Plan {
 public:
  Plan(std::vector<Buffer> buffers, int64_t arena, Isa isa, int threads);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // The value's number. All three throw std::invalid_argument on what does not fit or is out of range.
  int add_value(const Value& value);
  void add(std::string name, std::unique_ptr<Step> step, std::vector<int> inputs, int output);
  const Value& value(int index) const;
  Isa isa() const { return isa_; }

  // n images; inputs[i] and outputs[i] are the arrays of the buffers with these numbers. Calls wait for one another. A
  // forked child may go on with its copy, whatever its parent's threads were doing.
  void run(const std::vector<float*>& inputs, const std::vector<float*>& outputs, int64_t n);

  struct Line {
    std::string name, kind;
    int64_t weight_bytes;
    double seconds;
  };
  // Each step's kind, and the time it has taken in all runs since profiling was switched on.
  std::vector<Line> lines() const;
  void profile(bool on);
  int64_t chunk(int64_t n) const;

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<Step> step;
    std::vector<int> inputs;
    int output;
    double seconds = 0;
  };
  // A thread's own arena and scratch, when threads share a batch, or the one of all threads together.
  struct Lane {
    explicit Lane(Threads* threads) : runner(threads) {}
    Aligned<float> arena;
    Runner runner;
    std::vector<View> views;
  };
  // What a run changes.
  struct State {
    explicit State(int count);
    Threads threads;
    std::vector<std::unique_ptr<Lane>> lanes;  // the one of all threads together, then each thread's own
    std::mutex mutex;
  };
  friend class LivePlans;
  void run_range(Lane& lane, const std::vector<float*>& inputs, const std::vector<float*>& outputs, int64_t begin,
                 int64_t end);

  std::vector<Buffer> buffers_;
  std::vector<Value> values_;
  std::vector<Entry> steps_;
  int64_t arena_;
  Isa isa_;
  std::unique_ptr<State> state_;
  bool profile_ = false;
};

}  // namespace paring
