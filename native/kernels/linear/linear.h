// Fully connected layers.
#pragma once

#include <memory>

#include "engine/step.h"
#include "engine/weight.h"
#include "kernels/conv2d/conv2d.h"

namespace paring::linear {

using conv2d::Epilogue;
using conv2d::Sparse;

std::unique_ptr<Step> make(const Weight& weight, const Epilogue& end, Sparse sparse, Isa isa);

std::unique_ptr<Step> make_gemm(const Weight& weight, const Epilogue& end, Isa isa);
// From the non-zero weights.
std::unique_ptr<Step> make_sparse(const Weight& weight, const Epilogue& end, Isa isa);

}  // namespace paring::linear
