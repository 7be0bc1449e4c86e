#include <algorithm>
#include <vector>

#include "engine/variants.h"
#include "kernels/integer_conv2d/integer_conv2d.h"
#include "kernels/integer_depthwise/integer_depthwise.h"

namespace paring::integer_conv2d {
namespace {

class DepthwiseStep final : public Step {
 public:
  DepthwiseStep(const Geometry& g, const Layer& layer, Isa isa)
      : g_(g), output_(layer.output), kernel_(kernel_for<integer_depthwise::Kernel>(isa)) {
    const int64_t padded = (g.out_c + 15) / 16 * 16, at_once = kernel_->taps;
    taps_each_ = (g.taps() + at_once - 1) / at_once * at_once;
    const int64_t steps = taps_each_ / at_once;
    weights_.reset(padded * steps);
    start_.reset(padded);
    multipliers_.reset(padded);
    weights_.clear();
    start_.clear();
    multipliers_.clear();
    for (int64_t c = 0; c < g.out_c; ++c) {
      uint32_t sum = 0;
      for (int64_t t = 0; t < g.taps(); ++t) {
        const int8_t w = layer.weights[c * g.taps() + t];
        sum += static_cast<uint32_t>(int32_t{w});
        int32_t& lane = weights_[(c / 16 * steps + t / at_once) * 16 + c % 16];
        lane = static_cast<int32_t>(static_cast<uint32_t>(lane) | uint32_t{static_cast<uint16_t>(int16_t{w})} << 16 * (t % at_once));
      }
      start_[c] = static_cast<int32_t>(static_cast<uint32_t>(layer.bias[c]) -
                                       static_cast<uint32_t>(output_.source_zero) * sum);
      multipliers_[c] = layer.multipliers[c];
    }
    outside_.reset(g.in_c);
    std::fill_n(outside_.data(), g.in_c, static_cast<uint8_t>(output_.source_zero));
  }

  std::string kind() const override { return "integer_conv2d depthwise"; }
  int64_t weight_bytes() const override { return weights_.size() * 4 + start_.size() * 8; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t rows = out.n * out.h, work = std::max<int64_t>(1, out.w * out.c * g_.taps());
    runner.ranges(rows, (300000 + work - 1) / work, [&](int64_t begin, int64_t end, int worker) {
      const int64_t bytes = out.w * taps_each_ * static_cast<int64_t>(sizeof(uint8_t*));
      auto** taps = static_cast<const uint8_t**>(runner.scratch(worker, bytes));
      for (int64_t row = begin; row < end; ++row) run_row(*in, out, row / out.h, row % out.h, taps);
    });
  }

 private:
  void run_row(const View& in, const View& out, int64_t image, int64_t oy, const uint8_t** taps) const {
    const uint8_t* from = in.code_image(image);
    const int64_t top = oy * g_.stride_h - g_.top;
    const uint8_t** at = taps;
    for (int64_t ox = 0; ox < out.w; ++ox) {
      const int64_t left = ox * g_.stride_w - g_.left;
      for (int64_t i = 0; i < g_.kernel_h; ++i) {
        const int64_t y = top + i * g_.dilation_h;
        for (int64_t j = 0; j < g_.kernel_w; ++j) {
          const int64_t x = left + j * g_.dilation_w;
          const bool inside = y >= 0 && y < in.h && x >= 0 && x < in.w;
          *at++ = inside ? from + (y * in.w + x) * in.ld : outside_.data();
        }
      }
      for (int64_t t = g_.taps(); t < taps_each_; ++t) *at++ = outside_.data();
    }
    integer_depthwise::Pixels p{};
    p.taps = taps;
    p.pixels = out.w;
    p.taps_each = taps_each_;
    p.channels = out.c;
    p.weights = weights_.data();
    p.start = start_.data();
    p.multipliers = multipliers_.data();
    p.out = out.code_image(image) + oy * out.w * out.ld;
    p.ld = out.ld;
    p.low = output_.from();
    p.high = output_.to();
    p.zero = output_.zero;
    kernel_->run(p);
  }

  Geometry g_;
  int64_t taps_each_;
  Output output_;
  const integer_depthwise::Kernel* kernel_;
  Aligned<int32_t> weights_, start_;
  Aligned<float> multipliers_;
  Aligned<uint8_t> outside_;
};

}  // namespace

std::unique_ptr<Step> make_depthwise(const Geometry& g, const Layer& layer, Isa isa) {
  return std::make_unique<DepthwiseStep>(g, layer, isa);
}

}  // namespace paring::integer_conv2d
