#include "kernels/per_pixel/per_pixel.h"

namespace paring::per_pixel {
namespace {

constexpr int64_t kGrain = 16384;  // numbers that are worth another thread

float sum(const float* x, int64_t n) {
  float part[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; ++j) part[j] += x[i + j];
  for (; i < n; ++i) part[i & 7] += x[i];
  return ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
}

class MeanStep final : public Step {
 public:
  std::string kind() const override { return "channel_mean"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    runner.ranges(in->rows(), kGrain / in->c + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row)
        out.data[row * out.ld] = sum(in->data + row * in->ld, in->c) / static_cast<float>(in->c);
    });
  }
};

class BinaryStep final : public Step {
 public:
  explicit BinaryStep(elementwise::Binary kind) : add_(kind == elementwise::Binary::add) {}
  std::string kind() const override { return "binary per pixel"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const View &first = in[0], &second = in[1];
    runner.ranges(first.rows(), kGrain / first.c + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const float* x = first.data + row * first.ld;
        const float y = second.data[row * second.ld];
        float* to = out.data + row * out.ld;
        if (add_)
          for (int64_t i = 0; i < first.c; ++i) to[i] = x[i] + y;
        else
          for (int64_t i = 0; i < first.c; ++i) to[i] = x[i] * y;
      }
    });
  }

 private:
  bool add_;
};

}  // namespace

std::unique_ptr<Step> make_mean() { return std::make_unique<MeanStep>(); }
std::unique_ptr<Step> make_binary(elementwise::Binary kind) { return std::make_unique<BinaryStep>(kind); }

}  // namespace paring::per_pixel
