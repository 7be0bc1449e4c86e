#include "engine/variants.h"
#include "kernels/integer_conv2d/integer_conv2d.h"

namespace paring::integer_conv2d {
namespace {

using integer_gemm::Packed;
using integer_gemm::Tile;

class LinearStep final : public Step {
 public:
  LinearStep(int64_t outputs, int64_t inputs, const Layer& layer, Isa isa)
      : inputs_(inputs), output_(layer.output), kernel_(kernel_for<integer_gemm::Kernel>(isa)) {
    packed_ = Packed(outputs, 1, inputs, layer.bias, layer.multipliers, output_.source_zero, kernel_->unit,
                     [&](int64_t o, int64_t, int64_t k) { return layer.weights[o * inputs + k]; });
  }

  std::string kind() const override { return "integer_linear"; }
  int64_t weight_bytes() const override { return packed_.bytes(); }

  void run(const View* in, const View& out, Runner& runner) const override {
    // A group of panels is read once for the whole batch.
    const auto group = [&](int64_t g, int) { run_group(*in, out, g); };
    if (packed_.groups() * inputs_ * in->n < 4000)
      for (int64_t g = 0; g < packed_.groups(); ++g) group(g, 0);
    else
      runner.parallel(packed_.groups(), group);
  }

 private:
  void run_group(const View& in, const View& out, int64_t g) const {
    const uint8_t* runs[integer_gemm::kMaxRows];
    Tile tile{};
    packed_.place(tile, g);
    tile.runs = runs;
    tile.taps = 1;
    tile.ld = out.ld;
    tile.low = output_.from();
    tile.high = output_.to();
    tile.zero = output_.zero;
    const int64_t column = packed_.first_panel(g) * integer_gemm::kPanel;
    const int64_t rows = in.n, most = packed_.max_rows(*kernel_, g), tiles = (rows + most - 1) / most;
    const int64_t step = in.pixels() * in.ld;  // a map that is read as a vector
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
      for (int64_t r = from; r < to; ++r) runs[r - from] = in.codes + r * step;
      tile.rows = to - from;
      tile.out = out.codes + from * out.ld + column;
      kernel_->run(tile);
    }
  }

  int64_t inputs_;
  Output output_;
  const integer_gemm::Kernel* kernel_;
  Packed packed_;
};

}  // namespace

std::unique_ptr<Step> make_linear(int64_t outputs, int64_t inputs, const Layer& layer, Isa isa) {
  return std::make_unique<LinearStep>(outputs, inputs, layer, isa);
}

}  // namespace paring::integer_conv2d
