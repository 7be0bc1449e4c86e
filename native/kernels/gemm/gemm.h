// Dense products of pixels and weights: convolutions by runs of input, 1x1 convolutions and fully connected layers.
//
// An output pixel is the sum over `taps` runs of `length` consecutive floats (the channels under one position of the
// kernel; the whole input of a fully connected layer). Outputs stand in panels of 16, panels in groups of up to four;
// packed weights lie group by group as [tap][k][panels x 16], so that a tile reads them front to back. Every output is
// one chain of multiply-adds from its bias through taps and channels in order, whatever the tile: the same result for
// any batch, tiling or number of threads.
#pragma once

#include <cstdint>

#include "engine/memory.h"

namespace paring::gemm {

constexpr int64_t kPanel = 16;
constexpr int64_t kGroup = 4;
constexpr int64_t kMaxRows = 12;

struct Tile {
  const float* const* runs;  // [tap][rows]: where each row's run starts
  int64_t rows, taps, length;
  const float* weights;  // the group's
  const float* bias;     // the group's, [panels x 16]
  int64_t panels;        // of the group
  int64_t columns;       // outputs to write, at most panels x 16
  float* out;            // row r at out + r * ld
  int64_t ld;
  const float* residual;  // added before clamping, row r at residual + r * residual_ld; or null
  int64_t residual_ld;
  float low, high;
};

struct Kernel {
  void (*run)(const Tile& tile);
  // Most rows a tile may have, by panels in its group.
  int64_t max_rows[kGroup + 1];
};

// Weights of `outputs` outputs, packed.
class Packed {
 public:
  Packed() = default;
  // at(o, t, k) gives a weight; bias may be null.
  template <class At>
  Packed(int64_t outputs, int64_t taps, int64_t length, const float* bias, At at)
      : outputs_(outputs), depth_(taps * length), weights_(panels() * kPanel * taps * length), bias_(panels() * kPanel) {
    weights_.clear();
    bias_.clear();
    for (int64_t o = 0; bias != nullptr && o < outputs; ++o) bias_[o] = bias[o];
    for (int64_t g = 0; g < groups(); ++g) {
      float* to = weights_.data() + first_panel(g) * kPanel * depth_;
      const int64_t width = group_panels(g) * kPanel;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t o = first_panel(g) * kPanel + i;
        if (o >= outputs) break;
        for (int64_t t = 0; t < taps; ++t)
          for (int64_t k = 0; k < length; ++k) to[(t * length + k) * width + i] = at(o, t, k);
      }
    }
  }
  int64_t outputs() const { return outputs_; }
  int64_t panels() const { return (outputs_ + kPanel - 1) / kPanel; }
  int64_t groups() const { return (panels() + kGroup - 1) / kGroup; }
  // Panels are dealt out evenly: 5 panels make groups of 2 and 3.
  int64_t first_panel(int64_t group) const { return panels() * group / groups(); }
  int64_t group_panels(int64_t group) const { return first_panel(group + 1) - first_panel(group); }
  int64_t max_rows(const Kernel& kernel, int64_t group) const { return kernel.max_rows[group_panels(group)]; }
  int64_t bytes() const { return (weights_.size() + bias_.size()) * 4; }
  // Fills in the group's weights, bias and width.
  void place(Tile& tile, int64_t group) const {
    tile.weights = weights_.data() + first_panel(group) * kPanel * depth_;
    tile.bias = bias_.data() + first_panel(group) * kPanel;
    tile.panels = group_panels(group);
    const int64_t left = outputs_ - first_panel(group) * kPanel;
    tile.columns = left < tile.panels * kPanel ? left : tile.panels * kPanel;
  }

 private:
  int64_t outputs_ = 0, depth_ = 0;
  Aligned<float> weights_, bias_;
};

}  // namespace paring::gemm
