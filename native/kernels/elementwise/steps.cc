#include <algorithm>

#include "engine/variants.h"
#include "kernels/elementwise/elementwise.h"

namespace paring::elementwise {
namespace {

constexpr int64_t kGrain = 16384;  // numbers that are worth another thread

// Runs f(x, out, n) over pixels, or over everything at once where nothing lies between them.
template <class F>
void over_pixels(const View& in, const View& out, Runner& runner, bool joined, F f) {
  if (joined && in.contiguous() && out.contiguous()) {
    runner.ranges(in.rows() * in.c, kGrain,
                  [&](int64_t begin, int64_t end, int) { f(in.data + begin, out.data + begin, end - begin); });
    return;
  }
  runner.ranges(in.rows(), kGrain / in.c + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) f(in.data + row * in.ld, out.data + row * out.ld, in.c);
  });
}

class UnaryStep final : public Step {
 public:
  UnaryStep(Unary kind, float a, float b, Isa isa) : kind_(kind), a_(a), b_(b), run_(kernel_for<Kernel>(isa)->unary) {}
  std::string kind() const override { return "elementwise"; }
  void run(const View* in, const View& out, Runner& runner) const override {
    over_pixels(*in, out, runner, true,
                [&](const float* x, float* y, int64_t n) { run_(kind_, x, y, n, a_, b_); });
  }

 private:
  Unary kind_;
  float a_, b_;
  decltype(Kernel::unary) run_;
};

class ChannelwiseStep final : public Step {
 public:
  ChannelwiseStep(Channelwise kind, std::vector<float> a, std::vector<float> b, Isa isa)
      : kind_(kind), a_(std::move(a)), b_(std::move(b)), run_(kernel_for<Kernel>(isa)->channelwise) {}
  std::string kind() const override { return "channelwise"; }
  int64_t weight_bytes() const override { return static_cast<int64_t>(a_.size() + b_.size()) * 4; }
  void run(const View* in, const View& out, Runner& runner) const override {
    over_pixels(*in, out, runner, false,
                [&](const float* x, float* y, int64_t n) { run_(kind_, x, y, n, a_.data(), b_.data()); });
  }

 private:
  Channelwise kind_;
  std::vector<float> a_, b_;
  decltype(Kernel::channelwise) run_;
};

class BinaryStep final : public Step {
 public:
  BinaryStep(Binary kind, Isa isa) : kind_(kind), run_(kernel_for<Kernel>(isa)->binary) {}
  std::string kind() const override { return "binary"; }
  void run(const View* in, const View& out, Runner& runner) const override {
    const View &first = in[0], &second = in[1];
    const bool same = first.pixels() == second.pixels();
    if (same && first.contiguous() && second.contiguous() && out.contiguous()) {
      runner.ranges(first.rows() * first.c, kGrain, [&](int64_t begin, int64_t end, int) {
        run_(kind_, first.data + begin, second.data + begin, out.data + begin, end - begin);
      });
      return;
    }
    runner.ranges(first.rows(), kGrain / first.c + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const float* y = second.data + (same ? row : row / first.pixels()) * second.ld;
        run_(kind_, first.data + row * first.ld, y, out.data + row * out.ld, first.c);
      }
    });
  }

 private:
  Binary kind_;
  decltype(Kernel::binary) run_;
};

class SoftmaxStep final : public Step {
 public:
  explicit SoftmaxStep(Isa isa) : run_(kernel_for<Kernel>(isa)->softmax) {}
  std::string kind() const override { return "softmax"; }
  void run(const View* in, const View& out, Runner& runner) const override { over_pixels(*in, out, runner, false, run_); }

 private:
  decltype(Kernel::softmax) run_;
};

class LrnStep final : public Step {
 public:
  LrnStep(const Lrn& lrn, Isa isa) : lrn_(lrn), run_(kernel_for<Kernel>(isa)->lrn) {}
  std::string kind() const override { return "lrn"; }
  void run(const View* in, const View& out, Runner& runner) const override {
    over_pixels(*in, out, runner, false, [&](const float* x, float* y, int64_t n) { run_(lrn_, x, y, n); });
  }

 private:
  Lrn lrn_;
  decltype(Kernel::lrn) run_;
};

}  // namespace

std::unique_ptr<Step> make_unary(Unary kind, float a, float b, Isa isa) {
  return std::make_unique<UnaryStep>(kind, a, b, isa);
}
std::unique_ptr<Step> make_channelwise(Channelwise kind, std::vector<float> a, std::vector<float> b, Isa isa) {
  return std::make_unique<ChannelwiseStep>(kind, std::move(a), std::move(b), isa);
}
std::unique_ptr<Step> make_binary(Binary kind, Isa isa) { return std::make_unique<BinaryStep>(kind, isa); }
std::unique_ptr<Step> make_softmax(Isa isa) { return std::make_unique<SoftmaxStep>(isa); }
std::unique_ptr<Step> make_lrn(const Lrn& lrn, Isa isa) { return std::make_unique<LrnStep>(lrn, isa); }

}  // namespace paring::elementwise
