// Convolutions and fully connected layers of codes: a step from geometry, weights and constants.
#pragma once

#include <memory>
#include <vector>

#include "engine/step.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/integer_gemm/integer_gemm.h"

namespace paring::integer_conv2d {

using conv2d::Geometry;
using integer_gemm::Output;

// A layer's integers: codes in the form's order, and two numbers for each output.
struct Layer {
  const int8_t* weights;
  const int32_t* bias;
  const float* multipliers;
  Output output;
};

// Any convolution.
std::unique_ptr<Step> make(const Geometry& g, const Layer& layer, Isa isa);
// A fully connected layer; weights are (outputs, inputs).
std::unique_ptr<Step> make_linear(int64_t outputs, int64_t inputs, const Layer& layer, Isa isa);

std::unique_ptr<Step> make_gemm(const Geometry& g, const Layer& layer, Isa isa);
// One input and one output channel per group.
std::unique_ptr<Step> make_depthwise(const Geometry& g, const Layer& layer, Isa isa);

}  // namespace paring::integer_conv2d
