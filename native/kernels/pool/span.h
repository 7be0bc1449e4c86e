// Which pixels of an axis a pooling window sees.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/pool/pool.h"

namespace paring::pool {

// Positions start, start + dilation, ... of a window that are inside the image.
struct Span {
  int64_t first, count, step;
  int64_t length;  // of the window with its padding, but not past the padded image
};

inline Span span_of(const Axis& axis, int64_t size, int64_t at) {
  const int64_t start = at * axis.stride - axis.before, d = axis.dilation;
  const int64_t skipped = start < 0 ? (-start + d - 1) / d : 0;
  const int64_t first = start + skipped * d;
  const int64_t room = first < size ? (size - first + d - 1) / d : 0;
  return {first, std::clamp<int64_t>(axis.kernel - skipped, 0, room), d,
          std::min(start + axis.kernel, size + axis.after) - start};
}

// How many windows from this one on lie inside the image sideways, this one included.
inline int64_t whole_windows(const Axis& axis, int64_t size, int64_t at, int64_t count) {
  const int64_t room = size - 1 - (at * axis.stride - axis.before + (axis.kernel - 1) * axis.dilation);
  return room < 0 ? 1 : std::min(count - at, room / axis.stride + 1);
}

}  // namespace paring::pool
