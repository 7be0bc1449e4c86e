// Depthwise convolution: every channel has one kernel of its own.
#pragma once

#include <cstdint>


namespace paring::depthwise {

// One row of output pixels, sixteen channels.
struct Row {
  const float* in;     // channel 0 of the input image's pixel (0, 0)
  int64_t in_ld;       // floats between neighboring input pixels
  int64_t in_row;      // floats between input rows
  int64_t in_h, in_w;
  const float* weights;  // [tap][16]
  const float* bias;     // [16]
  int64_t kernel_h, kernel_w, stride_w, dilation_h, dilation_w;
  int64_t y, left;  // input row of the first tap, and columns of padding
  float* out;       // first output pixel
  int64_t out_ld, out_w;
  const float* residual;  // or null
  int64_t residual_ld;
  int64_t channels;  // 1 to 16 of them are real
  float low, high;
};

struct Kernel {
  void (*run)(const Row& row);
};

}  // namespace paring::depthwise
