#include <algorithm>

#include "engine/variants.h"
#include "kernels/integer_elementwise/integer_elementwise.h"
#include "kernels/pool/span.h"

namespace paring::integer_elementwise {
namespace {

enum class Kind { max, mean, mean_inside, global };

class PoolStep final : public Step {
 public:
  PoolStep(Kind kind, const pool::Axis& y, const pool::Axis& x, const Mean& mean, Isa isa)
      : kind_(kind), y_(y), x_(x), mean_(mean), kernel_(kernel_for<Kernel>(isa)) {}

  std::string kind() const override { return kind_ == Kind::max ? "max_pool codes" : "integer_avg_pool"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    if (kind_ == Kind::global) return run_global(*in, out, runner);
    const int64_t work = std::max<int64_t>(1, bounded_product({out.w, out.c, y_.kernel, x_.kernel}));
    runner.ranges(out.n * out.h, 200000 / work + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) run_row(*in, out, row / out.h, row % out.h);
    });
  }

 private:
  // float32(float64(source) / (float64(target) * count)), as paring.graph.multiplier computes it.
  float multiplier(int64_t count) const {
    return static_cast<float>(mean_.source / (mean_.target * static_cast<double>(std::max<int64_t>(1, count))));
  }

  void run_global(const View& in, const View& out, Runner& runner) const {
    runner.ranges(out.n, 100000 / (in.pixels() * in.c) + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t image = begin; image < end; ++image) {
        Window w{};
        w.in = in.code_image(image);
        w.rows = 1;
        w.cols = in.pixels();
        w.col_step = in.ld;
        w.channels = in.c;
        finish(w, in.pixels(), in.pixels());
        w.out = out.code_image(image);
        w.windows = 1;
        kernel_->mean(w);
      }
    });
  }

  void finish(Window& w, int64_t inside, int64_t count) const {
    w.start = static_cast<int32_t>(-inside * mean_.source_zero);
    w.multiplier = multiplier(count);
    w.clamp = mean_.clamp;
  }

  void run_row(const View& in, const View& out, int64_t image, int64_t oy) const {
    const pool::Span y = pool::span_of(y_, in.h, oy);
    Window w{};
    w.rows = y.count;
    w.row_step = y.step * in.w * in.ld;
    w.channels = out.c;
    w.out = out.code_image(image) + oy * out.w * out.ld;
    w.out_step = out.ld;
    const auto run = kind_ == Kind::max ? kernel_->max : kernel_->mean;
    for (int64_t ox = 0; ox < out.w; ox += w.windows, w.out += w.windows * out.ld) {
      const pool::Span x = pool::span_of(x_, in.w, ox);
      w.cols = x.count;
      w.col_step = x.step * in.ld;
      const bool empty = y.count <= 0 || x.count <= 0;  // such a window's first pixel is not even pointed at
      w.in = empty ? nullptr : in.code_image(image) + (y.first * in.w + x.first) * in.ld;
      const int64_t inside = empty ? 0 : y.count * x.count;
      finish(w, inside, kind_ == Kind::mean ? y.length * x.length : inside);
      w.windows = x.count < x_.kernel ? 1 : pool::whole_windows(x_, in.w, ox, out.w);
      w.in_step = x_.stride * in.ld;
      if (empty) w.in_step = 0;
      run(w);
    }
  }

  Kind kind_;
  pool::Axis y_, x_;
  Mean mean_;
  const Kernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_max(const pool::Axis& y, const pool::Axis& x, Isa isa) {
  return std::make_unique<PoolStep>(Kind::max, y, x, Mean{1, 1, 0, {0, 0, 0}}, isa);
}
std::unique_ptr<Step> make_mean(const pool::Axis& y, const pool::Axis& x, bool count_include_pad, const Mean& mean, Isa isa) {
  return std::make_unique<PoolStep>(count_include_pad ? Kind::mean : Kind::mean_inside, y, x, mean, isa);
}
std::unique_ptr<Step> make_global_mean(const Mean& mean, Isa isa) {
  return std::make_unique<PoolStep>(Kind::global, pool::Axis{1, 1, 1, 0, 0}, pool::Axis{1, 1, 1, 0, 0}, mean, isa);
}

}  // namespace paring::integer_elementwise
