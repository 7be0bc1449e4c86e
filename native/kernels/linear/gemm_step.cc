#include <algorithm>

#include "engine/variants.h"
#include "kernels/gemm/gemm.h"
#include "kernels/linear/linear.h"

namespace paring::linear {
namespace {

class GemmStep final : public Step {
 public:
  GemmStep(const Weight& weight, const Epilogue& end, Isa isa)
      : inputs_(weight.shape[1]), end_(end), kernel_(kernel_for<gemm::Kernel>(isa)) {
    const float* values = weight.values.data();
    packed_ = gemm::Packed(weight.shape[0], 1, inputs_, end.bias,
                           [&](int64_t o, int64_t, int64_t k) { return values[o * inputs_ + k]; });
    end_.bias = nullptr;
  }

  std::string kind() const override { return "linear gemm"; }
  int64_t weight_bytes() const override { return packed_.bytes(); }

  void run(const View* in, const View& out, Runner& runner) const override {
    // A group of panels is read once for the whole batch.
    const auto group = [&](int64_t g, int) { run_group(in, out, g); };
    if (packed_.groups() * inputs_ * in->n < 1000)
      for (int64_t g = 0; g < packed_.groups(); ++g) group(g, 0);
    else
      runner.parallel(packed_.groups(), group);
  }

 private:
  void run_group(const View* in, const View& out, int64_t g) const {
    const float* runs[gemm::kMaxRows];
    gemm::Tile tile{};
    packed_.place(tile, g);
    tile.runs = runs;
    tile.taps = 1;
    tile.length = inputs_;
    tile.ld = out.ld;
    tile.low = end_.low;
    tile.high = end_.high;
    const int64_t column = packed_.first_panel(g) * gemm::kPanel;
    const int64_t rows = in->n, most = packed_.max_rows(*kernel_, g), tiles = (rows + most - 1) / most;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
      for (int64_t r = from; r < to; ++r) runs[r - from] = in->data + r * in->ld;
      tile.rows = to - from;
      tile.out = out.data + from * out.ld + column;
      if (end_.residual) {
        tile.residual = in[1].data + from * in[1].ld + column;
        tile.residual_ld = in[1].ld;
      }
      kernel_->run(tile);
    }
  }

  int64_t inputs_;
  Epilogue end_;
  const gemm::Kernel* kernel_;
  gemm::Packed packed_;
};

}  // namespace

std::unique_ptr<Step> make_gemm(const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<GemmStep>(weight, end, isa);
}

}  // namespace paring::linear
