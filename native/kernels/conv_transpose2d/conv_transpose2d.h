// Transposed convolution: the gradient of conv2d by its input.
#pragma once

#include <memory>
#include <vector>

#include "engine/step.h"
#include "engine/weight.h"

namespace paring::conv_transpose2d {

struct Geometry {
  int64_t in_c, out_c, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left, groups;

  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t group_in() const { return in_c / groups; }
  int64_t group_out() const { return out_c / groups; }
};

// `weight` is (in, out / groups, kh, kw), `bias` [out_c] or empty.
std::unique_ptr<Step> make(const Geometry& g, const Weight& weight, std::vector<float> bias);

}  // namespace paring::conv_transpose2d
