// Steps between a map and one number for each of its pixels: XNOR-Net's scale K.
#pragma once

#include <memory>

#include "engine/step.h"
#include "kernels/elementwise/elementwise.h"

namespace paring::per_pixel {

// Mean over the channels.
std::unique_ptr<Step> make_mean();
// Two inputs; the second has one channel.
std::unique_ptr<Step> make_binary(elementwise::Binary kind);

}  // namespace paring::per_pixel
