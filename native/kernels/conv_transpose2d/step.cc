#include "kernels/conv_transpose2d/conv_transpose2d.h"

#include <algorithm>
#include <cstddef>

namespace paring::conv_transpose2d {
namespace {

// Every output pixel gathers the input pixels whose kernel reaches it, so that no two threads write to one place and
// the order of the sums is always the same. Weights lie as [tap][input of a group][out_c]: the inner loop is over
// neighboring outputs.
class TransposeStep final : public Step {
 public:
  TransposeStep(const Geometry& g, const Weight& weight, std::vector<float> bias)
      : g_(g), weights_(weight.values.size()), bias_(std::move(bias)) {
    bias_.resize(static_cast<std::size_t>(g.out_c), 0.0f);
    const int64_t depth = g.group_in(), width = g.group_out();
    for (int64_t c = 0; c < g.in_c; ++c)
      for (int64_t o = 0; o < width; ++o)
        for (int64_t t = 0; t < g.taps(); ++t)
          weights_[static_cast<std::size_t>((t * depth + c % depth) * g.out_c + c / depth * width + o)] =
              weight.values[static_cast<std::size_t>((c * width + o) * g.taps() + t)];
  }

  std::string kind() const override { return "conv_transpose2d direct"; }
  int64_t weight_bytes() const override { return static_cast<int64_t>(weights_.size() + bias_.size()) * 4; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t work = g_.group_in() * g_.out_c;
    runner.ranges(out.rows(), 50000 / work + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        float* to = out.data + row * out.ld;
        std::copy(bias_.begin(), bias_.end(), to);
        gather(*in, row / out.pixels(), row % out.pixels() / out.w + g_.top, row % out.w + g_.left, to);
      }
    });
  }

 private:
  // (y, x) is the place in the output before its edges were cut off.
  void gather(const View& in, int64_t image, int64_t y, int64_t x, float* to) const {
    for (int64_t i = 0; i < g_.kernel_h; ++i) {
      const int64_t down = y - i * g_.dilation_h;
      if (down < 0 || down % g_.stride_h || down / g_.stride_h >= in.h) continue;
      for (int64_t j = 0; j < g_.kernel_w; ++j) {
        const int64_t right = x - j * g_.dilation_w;
        if (right < 0 || right % g_.stride_w || right / g_.stride_w >= in.w) continue;
        const float* pixel = in.image(image) + (down / g_.stride_h * in.w + right / g_.stride_w) * in.ld;
        add(pixel, weights_.data() + (i * g_.kernel_w + j) * g_.group_in() * g_.out_c, to);
      }
    }
  }

  void add(const float* pixel, const float* w, float* to) const {
    const int64_t depth = g_.group_in(), width = g_.group_out();
    if (depth == 1 && width == 1) {
      for (int64_t c = 0; c < g_.out_c; ++c) to[c] += pixel[c] * w[c];
      return;
    }
    for (int64_t k = 0; k < depth; ++k, w += g_.out_c)
      for (int64_t group = 0; group < g_.groups; ++group) {
        const float v = pixel[group * depth + k];
        const float* row = w + group * width;
        float* part = to + group * width;
        for (int64_t o = 0; o < width; ++o) part[o] += v * row[o];
      }
  }

  Geometry g_;
  std::vector<float> weights_, bias_;
};

}  // namespace

std::unique_ptr<Step> make(const Geometry& g, const Weight& weight, std::vector<float> bias) {
  return std::make_unique<TransposeStep>(g, weight, std::move(bias));
}

}  // namespace paring::conv_transpose2d
