// Fully connected layers.
#pragma once

#include <memory>

#include "engine/step.h"
#include "engine/weight.h"
#include "kernels/conv2d/conv2d.h"

namespace paring::linear {

using conv2d::Epilogue;

std::unique_ptr<Step> make_gemm(const Weight& weight, const Epilogue& end, Isa isa);

}  // namespace paring::linear
