#include <algorithm>
#include <vector>

#include "engine/variants.h"
#include "kernels/conv2d/runs.h"
#include "kernels/integer_conv2d/integer_conv2d.h"

namespace paring::integer_conv2d {
namespace {

using conv2d::Block;
using integer_gemm::Packed;

// As conv2d/gemm_step.cc, on codes: outside the image are zero points.
class GemmStep final : public Step {
 public:
  GemmStep(const Geometry& g, const Layer& layer, Isa isa)
      : g_(g),
        output_(layer.output),
        runs_(g, static_cast<uint8_t>(layer.output.source_zero), kSlack),
        kernel_(kernel_for<integer_gemm::Kernel>(isa)) {
    const int64_t length = g.group_in(), taps = g.taps(), outputs = g.group_out();
    for (int64_t group = 0; group < g.groups; ++group) {
      const int8_t* codes = layer.weights + group * outputs * length * taps;
      // In a row of the kernel that is one run, k counts channels fastest.
      const auto at = [&](int64_t o, int64_t t, int64_t k) {
        const int64_t tap = runs_.whole_rows() ? t * g.kernel_w + k / length : t;
        return codes[(o * length + k % length) * taps + tap];
      };
      packed_.emplace_back(outputs, runs_.taps(), runs_.length(), layer.bias + group * outputs,
                           layer.multipliers + group * outputs, output_.source_zero, kernel_->unit, at);
    }
  }

  std::string kind() const override { return g_.taps() == 1 ? "integer_conv2d 1x1 gemm" : "integer_conv2d gemm"; }
  int64_t weight_bytes() const override {
    int64_t sum = 0;
    for (const auto& packed : packed_) sum += packed.bytes();
    return sum;
  }

  void run(const View* in, const View& out, Runner& runner) const override {
    constexpr int64_t kAlone = 600000;
    const int64_t row_bytes = bounded_product({g_.in_c, g_.stride_h, g_.stride_w});
    conv2d::split_blocks(g_, out.rows(), row_bytes, packed_[0].groups(), integer_gemm::kMaxRows, kAlone, runner,
                         [&](const Block& b, int64_t first, int64_t last, int worker) {
                           run_block(b, *in, out, first, last, runner, worker);
                         });
  }

 private:
  // The block's outputs of panel groups [first, last).
  void run_block(const Block& b, const View& in, const View& out, int64_t first, int64_t last, Runner& runner,
                 int worker) const {
    const Packed& packed = packed_[static_cast<std::size_t>(b.group)];
    const int64_t rows = b.rows(), taps = runs_.taps();
    const int64_t bytes = runs_.copied(rows) + rows * taps * 8 + kSlack;
    auto** runs = static_cast<const uint8_t**>(runner.scratch(worker, bytes));
    auto* patches = reinterpret_cast<uint8_t*>(runs + rows * taps);
    integer_gemm::Tile tile{};
    tile.taps = taps;
    tile.ld = out.ld;
    tile.low = output_.from();
    tile.high = output_.to();
    tile.zero = output_.zero;
    int64_t tile_rows = 0;
    for (int64_t group = first; group < last; ++group) {
      const int64_t most = packed.max_rows(*kernel_, group);
      if (most != tile_rows) runs_.find(b, in.codes, in, out, runs, patches, tile_rows = most);
      packed.place(tile, group);
      const int64_t column = b.group * g_.group_out() + packed.first_panel(group) * integer_gemm::kPanel;
      const int64_t tiles = (rows + most - 1) / most;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
        tile.runs = runs + from * taps;
        tile.rows = to - from;
        tile.out = out.codes + (b.begin + from) * out.ld + column;
        kernel_->run(tile);
      }
    }
  }

  static constexpr int64_t kSlack = 4;  // codes that a kernel may read past the end of a run

  Geometry g_;
  Output output_;
  conv2d::Runs<uint8_t> runs_;
  const integer_gemm::Kernel* kernel_;
  std::vector<Packed> packed_;
};

}  // namespace

std::unique_ptr<Step> make_gemm(const Geometry& g, const Layer& layer, Isa isa) {
  return std::make_unique<GemmStep>(g, layer, isa);
}

}  // namespace paring::integer_conv2d
