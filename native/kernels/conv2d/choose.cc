#include <algorithm>
#include <cmath>

#include "kernels/conv2d/conv2d.h"

namespace paring::conv2d {
namespace {

// Cycles a layer takes, roughly: docs/reference/engine.md says how the factors were found. Sixteen-lane vectors are counted
// whatever the instruction set, since both sides grow alike with narrower ones.
constexpr double kDense = 0.55;      // a vector of multiply-adds
constexpr double kDenseNarrow = 0.85;  // the same where outputs fill one vector only
constexpr double kSparse = 1.0;
constexpr double kMove = 0.8;       // a float moved between layouts inside the second-level cache
constexpr double kMoveFar = 1.8;    // and outside it
constexpr double kNear = 128 * 1024;  // floats

double dense_cycles(const Geometry& g) {
  const double vectors = std::ceil(static_cast<double>(g.group_out()) / 16);
  const double pixels = static_cast<double>(g.out_h) * static_cast<double>(g.out_w) * static_cast<double>(g.groups);
  const double depth = static_cast<double>(g.taps() * g.group_in());
  return pixels * vectors * depth * (vectors > 1 ? kDense : kDenseNarrow);
}

struct Planes {
  double floats, positions;
};

Planes planes_of(const Geometry& g) {
  const double rows = static_cast<double>(g.out_h) + static_cast<double>((g.kernel_h - 1) * g.dilation_h / g.stride_h);
  const double planes = static_cast<double>(g.in_c) * static_cast<double>(g.kernel_w * std::min(g.kernel_h, g.stride_h));
  const double width = std::ceil(static_cast<double>(g.out_w) / 8) * 8;
  return {planes * rows * width, static_cast<double>(g.out_h) * width};
}

double sparse_cycles(const Geometry& g, int64_t nonzeros) {
  const Planes planes = planes_of(g);
  const double vectors = std::ceil(planes.positions / 16), tiles = std::ceil(vectors / 16);
  const double moved = planes.floats + static_cast<double>(g.out_c) * planes.positions;
  const double multiplied = static_cast<double>(nonzeros) * (vectors * kSparse + tiles * 2);
  return multiplied + static_cast<double>(g.out_c) * tiles * 20 + moved * (moved < kNear ? kMove : kMoveFar);
}

// Large strides, dilations and paddings can make planes and lines of any size from few numbers.
bool can_be_sparse(const Geometry& g) {
  const double input = static_cast<double>(g.in_h) * static_cast<double>(g.in_w) * static_cast<double>(g.in_c);
  const double limit = 16 * (input + static_cast<double>(g.out_h * g.out_w * g.out_c)) + 65536;
  const double unused = static_cast<double>(g.phases()) / static_cast<double>(std::min(g.kernel_h, g.stride_h));
  const double floats = planes_of(g).floats * std::max(1.0, unused);
  const double lines = 256 * static_cast<double>(g.out_w + (g.kernel_w - 1) * g.dilation_w);
  return floats < limit && floats < 2147483648.0 && lines < limit + 1048576;
}

}  // namespace

std::unique_ptr<Step> make(const Geometry& g, const Weight& weight, const Epilogue& end, Sparse sparse, Isa isa) {
  const bool depthwise = g.group_in() == 1 && g.group_out() == 1;
  if (g.taps() > 4096) return make_direct(g, weight, end);
  if (sparse != Sparse::never && can_be_sparse(g)) {
    const double factor = depthwise ? 2.0 : 1.0;  // of the dense estimate, which is not of the depthwise kernel
    const bool wins = sparse_cycles(g, weight.nonzeros()) < dense_cycles(g) / (depthwise ? 16 * factor : factor);
    if (wins || sparse == Sparse::always) return make_sparse(g, weight, end, isa);
  }
  if (depthwise) return make_depthwise(g, weight, end, isa);
  if (g.groups > 64 && g.group_out() < 4) return make_direct(g, weight, end);
  return make_gemm(g, weight, end, isa);
}

}  // namespace paring::conv2d
