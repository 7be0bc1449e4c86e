#include <algorithm>
#include <vector>

#include "engine/variants.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/runs.h"
#include "kernels/gemm/gemm.h"

namespace paring::conv2d {
namespace {

class GemmStep final : public Step {
 public:
  GemmStep(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa)
      : g_(g), low_(end.low), high_(end.high), residual_(end.residual), runs_(g, 0.0f), kernel_(kernel_for<gemm::Kernel>(isa)) {
    const int64_t length = g.group_in(), taps = g.taps(), outputs = g.group_out();
    for (int64_t group = 0; group < g.groups; ++group) {
      const float* values = weight.values.data() + group * outputs * length * taps;
      const float* bias = end.bias == nullptr ? nullptr : end.bias + group * outputs;
      packed_.emplace_back(outputs, taps, length, bias,
                           [&](int64_t o, int64_t t, int64_t k) { return values[(o * length + k) * taps + t]; });
    }
  }

  std::string kind() const override { return g_.taps() == 1 ? "conv2d 1x1 gemm" : "conv2d gemm"; }
  int64_t weight_bytes() const override {
    int64_t sum = 0;
    for (const auto& packed : packed_) sum += packed.bytes();
    return sum;
  }

  void run(const View* in, const View& out, Runner& runner) const override {
    constexpr int64_t kAlone = 200000;
    const int64_t row_bytes = bounded_product({g_.in_c, g_.stride_h, g_.stride_w, 4});
    split_blocks(g_, out.rows(), row_bytes, packed_[0].groups(), gemm::kMaxRows, kAlone, runner,
                 [&](const Block& b, int64_t first, int64_t last, int worker) {
                   run_block(b, in, out, first, last, runner, worker);
                 });
  }

 private:
  // The block's outputs of panel groups [first, last).
  void run_block(const Block& b, const View* in, const View& out, int64_t first, int64_t last, Runner& runner,
                 int worker) const {
    const gemm::Packed& packed = packed_[static_cast<std::size_t>(b.group)];
    const int64_t rows = b.rows(), copied = runs_.copied(rows);
    auto* patches = static_cast<float*>(runner.scratch(worker, copied * 4 + rows * runs_.taps() * 8 + 64));
    auto** runs = reinterpret_cast<const float**>(patches + (copied + 15) / 16 * 16);
    gemm::Tile tile{};
    tile.taps = runs_.taps();
    tile.length = runs_.length();
    tile.ld = out.ld;
    tile.low = low_;
    tile.high = high_;
    int64_t tile_rows = 0;
    for (int64_t group = first; group < last; ++group) {
      const int64_t most = packed.max_rows(*kernel_, group);
      if (most != tile_rows) runs_.find(b, in->data, *in, out, runs, patches, tile_rows = most);
      packed.place(tile, group);
      const int64_t column = b.group * g_.group_out() + packed.first_panel(group) * gemm::kPanel;
      const int64_t tiles = (rows + most - 1) / most;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
        tile.runs = runs + from * runs_.taps();
        tile.rows = to - from;
        tile.out = out.data + (b.begin + from) * out.ld + column;
        if (residual_) {
          tile.residual = in[1].data + (b.begin + from) * in[1].ld + column;
          tile.residual_ld = in[1].ld;
        }
        kernel_->run(tile);
      }
    }
  }

  Geometry g_;
  float low_, high_;
  bool residual_;
  Runs<float> runs_;
  const gemm::Kernel* kernel_;
  std::vector<gemm::Packed> packed_;
};

}  // namespace

std::unique_ptr<Step> make_gemm(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<GemmStep>(g, weight, end, isa);
}

}  // namespace paring::conv2d
