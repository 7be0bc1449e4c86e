// Products of codes and integer weights, as gemm.h has them of floats: runs of bytes, panels of sixteen outputs.
//
// A run is read in units of four bytes, past its end if it must: the weights there are zero. Packed weights lie group by
// group as [tap][unit][panels x 16][unit's bytes], in units of four or two codes as the kernel wants them. A sum starts from the integer bias minus the zero point times the sum of the weights.
#pragma once

#include <cstdint>

#include "engine/memory.h"

namespace paring::integer_gemm {

constexpr int64_t kPanel = 16;
constexpr int64_t kGroup = 4;
constexpr int64_t kMaxRows = 12;

struct Tile {
  const uint8_t* const* runs;  // [tap][rows]
  int64_t rows, taps, length;  // codes in a run, a multiple of four
  const int8_t* weights;
  const int32_t* start;      // [panels x 16]
  const float* multipliers;  // [panels x 16]
  int64_t panels, columns;
  uint8_t* out;
  int64_t ld;
  float low, high;  // minus the zero point
  int32_t zero;
};

struct Kernel {
  void (*run)(const Tile& tile);
  int64_t max_rows[kGroup + 1];
  int64_t unit;  // codes multiplied at once: 4, or 2 where they are widened to 16 bits
};

// What becomes of sums: see docs/reference/arithmetic.md.
struct Output {
  int32_t source_zero, zero, low, high;

  float from() const { return static_cast<float>(low - zero); }
  float to() const { return static_cast<float>(high - zero); }
};

// Weights of `outputs` outputs, packed for a kernel.
class Packed {
 public:
  Packed() = default;
  // at(o, t, k) gives a weight; bias and multipliers have one number per output.
  template <class At>
  Packed(int64_t outputs, int64_t taps, int64_t length, const int32_t* bias, const float* multipliers,
         int32_t source_zero, int64_t unit, At at)
      : outputs_(outputs), length_((length + 3) / 4 * 4), depth_(taps * length_) {
    weights_.reset(panels() * kPanel * depth_);
    start_.reset(panels() * kPanel);
    multipliers_.reset(panels() * kPanel);
    weights_.clear();
    start_.clear();
    multipliers_.clear();
    for (int64_t g = 0; g < groups(); ++g) {
      int8_t* to = weights_.data() + first_panel(g) * kPanel * depth_;
      const int64_t width = group_panels(g) * kPanel;
      for (int64_t i = 0; i < width; ++i) {
        const int64_t o = first_panel(g) * kPanel + i;
        if (o >= outputs) break;
        uint32_t sum = 0;  // modulo 2^32, as all sums are
        for (int64_t t = 0; t < taps; ++t) {
          for (int64_t k = 0; k < length; ++k) {
            const int8_t w = at(o, t, k);
            sum += static_cast<uint32_t>(int32_t{w});
            to[((t * length_ + k) / unit * width + i) * unit + k % unit] = w;
          }
        }
        start_[o] = static_cast<int32_t>(static_cast<uint32_t>(bias[o]) - static_cast<uint32_t>(source_zero) * sum);
        multipliers_[o] = multipliers[o];
      }
    }
  }
  int64_t panels() const { return (outputs_ + kPanel - 1) / kPanel; }
  int64_t groups() const { return (panels() + kGroup - 1) / kGroup; }
  int64_t first_panel(int64_t group) const { return panels() * group / groups(); }
  int64_t group_panels(int64_t group) const { return first_panel(group + 1) - first_panel(group); }
  int64_t max_rows(const Kernel& kernel, int64_t group) const { return kernel.max_rows[group_panels(group)]; }
  int64_t bytes() const { return weights_.size() + start_.size() * 8; }
  // Fills in everything that depends on the group or the run's length.
  void place(Tile& tile, int64_t group) const {
    tile.length = length_;
    tile.weights = weights_.data() + first_panel(group) * kPanel * depth_;
    tile.start = start_.data() + first_panel(group) * kPanel;
    tile.multipliers = multipliers_.data() + first_panel(group) * kPanel;
    tile.panels = group_panels(group);
    const int64_t left = outputs_ - first_panel(group) * kPanel;
    tile.columns = left < tile.panels * kPanel ? left : tile.panels * kPanel;
  }

 private:
  int64_t outputs_ = 0, length_ = 0, depth_ = 0;
  Aligned<int8_t> weights_;
  Aligned<int32_t> start_;
  Aligned<float> multipliers_;
};

}  // namespace paring::integer_gemm
