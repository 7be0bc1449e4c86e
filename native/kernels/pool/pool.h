// Pooling: output pixels from windows of input pixels, all channels.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/step.h"

namespace paring::pool {

// Windows of one size in a row, each the part that is inside the image.
struct Window {
  const float* in;  // the first window's first pixel
  int64_t rows, cols, row_step, col_step;  // counts, and floats between neighbors
  int64_t channels;
  float divisor;
  float* out;
  int64_t windows, in_step, out_step;  // how many, and floats from one to the next
};

struct Kernel {
  void (*max)(const Window& windows);
  void (*mean)(const Window& windows);  // the sum over `divisor`
};

struct Axis {
  int64_t kernel, stride, dilation, before, after;
};

std::unique_ptr<Step> make_max(const Axis& y, const Axis& x, Isa isa);
std::unique_ptr<Step> make_avg(const Axis& y, const Axis& x, bool count_include_pad, Isa isa);
// Windows from floor(i in / out) to ceil((i + 1) in / out); a 1 x 1 output is the mean of the whole map.
std::unique_ptr<Step> make_adaptive_avg(Isa isa);

}  // namespace paring::pool
