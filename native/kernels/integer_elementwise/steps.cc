#include <algorithm>

#include "engine/variants.h"
#include "kernels/integer_elementwise/integer_elementwise.h"

namespace paring::integer_elementwise {
namespace {

constexpr int64_t kGrain = 65536;  // codes that are worth another thread

// Runs f(first element, how many) of both values over pixels, or over everything at once where nothing lies between.
template <class F>
void over_pixels(const View& in, const View& out, Runner& runner, F f) {
  if (in.contiguous() && out.contiguous()) {
    runner.ranges(in.rows() * in.c, kGrain, [&](int64_t begin, int64_t end, int) { f(begin, begin, end - begin); });
    return;
  }
  runner.ranges(in.rows(), kGrain / in.c + 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) f(row * in.ld, row * out.ld, in.c);
  });
}

class QuantizeStep final : public Step {
 public:
  QuantizeStep(float scale, const Clamp& clamp, Isa isa) : scale_(scale), clamp_(clamp), run_(kernel_for<Kernel>(isa)->quantize) {}
  std::string kind() const override { return "quantize"; }
  void run(const View* in, const View& out, Runner& runner) const override {
    over_pixels(*in, out, runner,
                [&](int64_t from, int64_t to, int64_t n) { run_(in->data + from, out.codes + to, n, scale_, clamp_); });
  }

 private:
  float scale_;
  Clamp clamp_;
  decltype(Kernel::quantize) run_;
};

class DequantizeStep final : public Step {
 public:
  DequantizeStep(float scale, int32_t zero, Isa isa) : scale_(scale), zero_(zero), run_(kernel_for<Kernel>(isa)->dequantize) {}
  std::string kind() const override { return "dequantize"; }
  void run(const View* in, const View& out, Runner& runner) const override {
    over_pixels(*in, out, runner,
                [&](int64_t from, int64_t to, int64_t n) { run_(in->codes + from, out.data + to, n, scale_, zero_); });
  }

 private:
  float scale_;
  int32_t zero_;
  decltype(Kernel::dequantize) run_;
};

class TableStep final : public Step {
 public:
  explicit TableStep(const std::array<uint8_t, 256>& table) : table_(table) {}
  std::string kind() const override { return "lookup"; }
  int64_t weight_bytes() const override { return 256; }
  void run(const View* in, const View& out, Runner& runner) const override {
    over_pixels(*in, out, runner, [&](int64_t from, int64_t to, int64_t n) {
      for (int64_t i = 0; i < n; ++i) out.codes[to + i] = table_[in->codes[from + i]];
    });
  }

 private:
  std::array<uint8_t, 256> table_;
};

class AddStep final : public Step {
 public:
  AddStep(const Operand& first, const Operand& second, const Clamp& clamp, Isa isa)
      : first_(first), second_(second), clamp_(clamp), run_(kernel_for<Kernel>(isa)->add) {}
  std::string kind() const override { return "integer_add"; }
  void run(const View* in, const View& out, Runner& runner) const override {
    const auto one = [&](int64_t a, int64_t b, int64_t y, int64_t n) {
      run_(in[0].codes + a, in[1].codes + b, out.codes + y, n, first_, second_, clamp_);
    };
    if (in[1].contiguous()) {
      over_pixels(in[0], out, runner, [&](int64_t from, int64_t to, int64_t n) {
        one(from, in[0].contiguous() ? from : from / in[0].ld * in[1].ld, to, n);
      });
      return;
    }
    for (int64_t row = 0; row < out.rows(); ++row) one(row * in[0].ld, row * in[1].ld, row * out.ld, out.c);
  }

 private:
  Operand first_, second_;
  Clamp clamp_;
  decltype(Kernel::add) run_;
};

}  // namespace

std::unique_ptr<Step> make_quantize(float scale, const Clamp& clamp, Isa isa) {
  return std::make_unique<QuantizeStep>(scale, clamp, isa);
}
std::unique_ptr<Step> make_dequantize(float scale, int32_t zero, Isa isa) {
  return std::make_unique<DequantizeStep>(scale, zero, isa);
}
std::unique_ptr<Step> make_table(const std::array<uint8_t, 256>& table) { return std::make_unique<TableStep>(table); }
std::unique_ptr<Step> make_add(const Operand& first, const Operand& second, const Clamp& clamp, Isa isa) {
  return std::make_unique<AddStep>(first, second, clamp, isa);
}

}  // namespace paring::integer_elementwise
