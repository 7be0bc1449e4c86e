// Steps that move numbers without changing them.
#pragma once

#include <memory>

#include "engine/step.h"

namespace paring::rearrange {

// Output pixel (y, x), channel k is input pixel (y stride_h - top, x stride_w - left), channel k - front; zero where
// that is outside. Serves padding, subsampling, slices and concatenation. `outside` is -1 for floats, or the zero point
// of codes.
std::unique_ptr<Step> make_copy(int64_t stride_h, int64_t stride_w, int64_t top, int64_t left, int64_t front, int outside);
// Each pixel's channels as a table of `groups` rows, read by columns.
std::unique_ptr<Step> make_channel_shuffle(int64_t groups, bool codes);
// Channels in front of rows and columns; the output is a vector.
std::unique_ptr<Step> make_flatten_chw(bool codes);

}  // namespace paring::rearrange
