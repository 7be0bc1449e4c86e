#include <algorithm>

#include "engine/variants.h"
#include "kernels/pool/span.h"

namespace paring::pool {
namespace {

Span adaptive_span(int64_t in, int64_t out, int64_t at) {
  const int64_t first = at * in / out, last = ((at + 1) * in + out - 1) / out;
  return {first, last - first, 1, last - first};
}

enum class Kind { max, avg, avg_inside, adaptive };

class PoolStep final : public Step {
 public:
  PoolStep(Kind kind, const Axis& y, const Axis& x, Isa isa) : kind_(kind), y_(y), x_(x), kernel_(kernel_for<Kernel>(isa)) {}

  std::string kind() const override { return kind_ == Kind::max ? "max_pool" : "avg_pool"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t work = std::max<int64_t>(1, bounded_product({out.w, out.c, y_.kernel, x_.kernel}));
    runner.ranges(out.n * out.h, 50000 / work + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) run_row(*in, out, row / out.h, row % out.h);
    });
  }

 private:
  void run_row(const View& in, const View& out, int64_t image, int64_t oy) const {
    const bool adaptive = kind_ == Kind::adaptive;
    const Span y = adaptive ? adaptive_span(in.h, out.h, oy) : span_of(y_, in.h, oy);
    Window window{};
    window.rows = y.count;
    window.row_step = y.step * in.w * in.ld;
    window.channels = out.c;
    window.out = out.image(image) + oy * out.w * out.ld;
    const auto run = kind_ == Kind::max ? kernel_->max : kernel_->mean;
    window.out_step = out.ld;
    for (int64_t ox = 0; ox < out.w; ox += window.windows, window.out += window.windows * out.ld) {
      const Span x = adaptive ? adaptive_span(in.w, out.w, ox) : span_of(x_, in.w, ox);
      window.cols = x.count;
      window.col_step = x.step * in.ld;
      // An empty window may lie outside the image: its first pixel is not even pointed at.
      window.in = y.count > 0 && x.count > 0 ? in.image(image) + (y.first * in.w + x.first) * in.ld : nullptr;
      window.divisor = static_cast<float>(kind_ == Kind::avg ? y.length * x.length : y.count * x.count);
      window.windows = adaptive || x.count < x_.kernel ? 1 : whole_windows(x_, in.w, ox, out.w);
      window.in_step = x_.stride * in.ld;
      run(window);
    }
  }

  Kind kind_;
  Axis y_, x_;
  const Kernel* kernel_;
};

}  // namespace

std::unique_ptr<Step> make_max(const Axis& y, const Axis& x, Isa isa) {
  return std::make_unique<PoolStep>(Kind::max, y, x, isa);
}

std::unique_ptr<Step> make_avg(const Axis& y, const Axis& x, bool count_include_pad, Isa isa) {
  return std::make_unique<PoolStep>(count_include_pad ? Kind::avg : Kind::avg_inside, y, x, isa);
}

std::unique_ptr<Step> make_adaptive_avg(Isa isa) {
  return std::make_unique<PoolStep>(Kind::adaptive, Axis{1, 1, 1, 0, 0}, Axis{1, 1, 1, 0, 0}, isa);
}

}  // namespace paring::pool
