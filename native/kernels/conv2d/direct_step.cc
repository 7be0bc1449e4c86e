#include "kernels/conv2d/conv2d.h"

namespace paring::conv2d {
namespace {

class DirectStep final : public Step {
 public:
  DirectStep(const Geometry& g, const Weight& weight, const Epilogue& end)
      : g_(g), weights_(weight.values), bias_(g.out_c, 0.0f), end_(end) {
    for (int64_t o = 0; end.bias != nullptr && o < g.out_c; ++o) bias_[o] = end.bias[o];
    end_.bias = nullptr;
  }

  std::string kind() const override { return "conv2d direct"; }
  int64_t weight_bytes() const override { return static_cast<int64_t>(weights_.size() + bias_.size()) * 4; }

  void run(const View* in, const View& out, Runner& runner) const override {
    runner.ranges(out.rows(), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t image = row / out.pixels(), y = row % out.pixels() / out.w, x = row % out.w;
        for (int64_t o = 0; o < g_.out_c; ++o) {
          float v = bias_[o] + sum(in[0], image, y * g_.stride_h - g_.top, x * g_.stride_w - g_.left, o);
          if (end_.residual) v += in[1].data[row * in[1].ld + o];
          v = v < end_.low ? end_.low : v;
          out.data[row * out.ld + o] = v > end_.high ? end_.high : v;
        }
      }
    });
  }

 private:
  float sum(const View& in, int64_t image, int64_t top, int64_t left, int64_t o) const {
    const int64_t depth = g_.group_in(), first = o / g_.group_out() * depth;
    const float* w = weights_.data() + o * depth * g_.taps();
    float total = 0;
    for (int64_t i = 0; i < g_.kernel_h; ++i) {
      const int64_t y = top + i * g_.dilation_h;
      if (y < 0 || y >= in.h) continue;
      for (int64_t j = 0; j < g_.kernel_w; ++j) {
        const int64_t x = left + j * g_.dilation_w;
        if (x < 0 || x >= in.w) continue;
        const float* pixel = in.image(image) + (y * in.w + x) * in.ld + first;
        for (int64_t k = 0; k < depth; ++k) total += pixel[k] * w[k * g_.taps() + i * g_.kernel_w + j];
      }
    }
    return total;
  }

  Geometry g_;
  std::vector<float> weights_, bias_;
  Epilogue end_;
};

}  // namespace

std::unique_ptr<Step> make_direct(const Geometry& g, const Weight& weight, const Epilogue& end) {
  return std::make_unique<DirectStep>(g, weight, end);
}

}  // namespace paring::conv2d
