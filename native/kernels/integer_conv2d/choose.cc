#include "kernels/integer_conv2d/integer_conv2d.h"

namespace paring::integer_conv2d {

std::unique_ptr<Step> make(const Geometry& g, const Layer& layer, Isa isa) {
  const bool depthwise = g.group_in() == 1 && g.group_out() == 1;
  return depthwise ? make_depthwise(g, layer, isa) : make_gemm(g, layer, isa);
}

}  // namespace paring::integer_conv2d
