// Convolutions: a step from geometry and weight.
#pragma once

#include <algorithm>
#include <array>
#include <memory>

#include "engine/step.h"
#include "engine/weight.h"

namespace paring::conv2d {

struct Geometry {
  int64_t in_h, in_w, in_c, out_h, out_w, out_c;
  int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left, groups;
  int64_t in_ld;  // floats between neighboring input pixels

  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t group_in() const { return in_c / groups; }
  int64_t group_out() const { return out_c / groups; }
  // Rows of the kernel start in as many phases of the vertical stride, counted up to the last one that is used.
  int64_t phases() const {
    int64_t last = 0;
    for (int64_t i = 0; i < kernel_h; ++i) last = std::max(last, i * dilation_h % stride_h);
    return last + 1;
  }
};

// What happens to a sum before it is written: the bias is its start, then the second input (if the step has one) is
// added, then it is clamped. NaN stays NaN.
struct Epilogue {
  const float* bias;  // [out_c] or null; copied
  float low, high;
  bool residual = false;
};

enum class Sparse { automatic, always, never };

// The kernel for the layer: depthwise, sparse, dense, or direct for shapes no real network has.
std::unique_ptr<Step> make(const Geometry& g, const Weight& weight, const Epilogue& end, Sparse sparse, Isa isa);

// Any convolution, as products of pixels and packed weights.
std::unique_ptr<Step> make_gemm(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa);
// Any convolution, from its non-zero weights.
std::unique_ptr<Step> make_sparse(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa);
// Any convolution, one multiplication after the other: for kernels and groups no real network has.
std::unique_ptr<Step> make_direct(const Geometry& g, const Weight& weight, const Epilogue& end);
// One input and one output channel per group.
std::unique_ptr<Step> make_depthwise(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa);

}  // namespace paring::conv2d
