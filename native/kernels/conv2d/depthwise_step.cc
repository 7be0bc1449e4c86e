#include <algorithm>

#include "engine/variants.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/depthwise/depthwise.h"

namespace paring::conv2d {
namespace {

class DepthwiseStep final : public Step {
 public:
  DepthwiseStep(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa)
      : g_(g), end_(end), kernel_(kernel_for<depthwise::Kernel>(isa)) {
    weights_.reset(blocks() * g.taps() * 16);
    bias_.reset(blocks() * 16);
    weights_.clear();
    bias_.clear();
    for (int64_t c = 0; c < g.out_c; ++c) {
      for (int64_t t = 0; t < g.taps(); ++t)
        weights_[(c / 16 * g.taps() + t) * 16 + c % 16] = weight.values[static_cast<std::size_t>(c * g.taps() + t)];
      if (end.bias != nullptr) bias_[c] = end.bias[c];
    }
    end_.bias = nullptr;
  }

  std::string kind() const override { return "conv2d depthwise"; }
  int64_t weight_bytes() const override { return (weights_.size() + bias_.size()) * 4; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t rows = out.n * out.h, work = std::max<int64_t>(1, out.w * out.c * g_.taps());
    runner.ranges(rows, (100000 + work - 1) / work, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) run_row(in, out, row / out.h, row % out.h);
    });
  }

 private:
  int64_t blocks() const { return (g_.out_c + 15) / 16; }

  void run_row(const View* in, const View& out, int64_t image, int64_t y) const {
    depthwise::Row r{};
    r.in_ld = in->ld;
    r.in_row = in->w * in->ld;
    r.in_h = in->h;
    r.in_w = in->w;
    r.kernel_h = g_.kernel_h;
    r.kernel_w = g_.kernel_w;
    r.stride_w = g_.stride_w;
    r.dilation_h = g_.dilation_h;
    r.dilation_w = g_.dilation_w;
    r.y = y * g_.stride_h - g_.top;
    r.left = g_.left;
    r.out_ld = out.ld;
    r.out_w = out.w;
    r.low = end_.low;
    r.high = end_.high;
    const int64_t pixel = (image * out.h + y) * out.w;
    for (int64_t b = 0; b < blocks(); ++b) {
      r.in = in->image(image) + b * 16;
      r.weights = weights_.data() + b * g_.taps() * 16;
      r.bias = bias_.data() + b * 16;
      r.out = out.data + pixel * out.ld + b * 16;
      if (end_.residual) {
        r.residual = in[1].data + pixel * in[1].ld + b * 16;
        r.residual_ld = in[1].ld;
      }
      r.channels = std::min<int64_t>(16, g_.out_c - b * 16);
      kernel_->run(r);
    }
  }

  Geometry g_;
  Epilogue end_;
  const depthwise::Kernel* kernel_;
  Aligned<float> weights_, bias_;
};

}  // namespace

std::unique_ptr<Step> make_depthwise(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<DepthwiseStep>(g, weight, end, isa);
}

}  // namespace paring::conv2d
