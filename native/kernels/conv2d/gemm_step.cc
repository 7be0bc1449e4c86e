#include <algorithm>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "kernels/gemm/gemm.h"

namespace paring::conv2d {
namespace {

// Bytes of input that a block of output pixels may read: about what the second-level cache keeps beside the weights.
constexpr int64_t kBlockBytes = 192 * 1024;

class GemmStep final : public Step {
 public:
  GemmStep(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa)
      : g_(g), low_(end.low), high_(end.high), residual_(end.residual), kernel_(&gemm::kernel(isa)) {
    const int64_t length = g.group_in(), taps = g.taps(), outputs = g.group_out();
    for (int64_t group = 0; group < g.groups; ++group) {
      const float* values = weight.values.data() + group * outputs * length * taps;
      const float* bias = end.bias == nullptr ? nullptr : end.bias + group * outputs;
      packed_.emplace_back(outputs, taps, length, bias,
                           [&](int64_t o, int64_t t, int64_t k) { return values[(o * length + k) * taps + t]; });
    }
    zeros_.reset(length);
    zeros_.clear();
  }

  std::string kind() const override { return g_.taps() == 1 ? "conv2d 1x1 gemm" : "conv2d gemm"; }
  int64_t weight_bytes() const override {
    int64_t sum = 0;
    for (const auto& packed : packed_) sum += packed.bytes();
    return sum;
  }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t rows = out.rows(), depth = g_.taps() * g_.group_in();
    const int64_t per_row = std::max<int64_t>(1, g_.in_c * g_.stride_h * g_.stride_w * 4);
    int64_t block = std::clamp<int64_t>(kBlockBytes / per_row, 48, 1024);
    const int64_t least = 2 * int64_t{runner.workers()};
    const bool small = rows * depth * g_.group_out() * g_.groups < 200000;
    if (runner.workers() > 1 && !small) block = std::min(block, std::max<int64_t>(12, (rows + least - 1) / least));
    const int64_t blocks = (rows + block - 1) / block;
    // Groups of panels are split among threads only where there are too few blocks of pixels to go round.
    const int64_t splits =
        runner.workers() == 1 || small || blocks >= least ? 1 : std::min(packed_[0].groups(), (least + blocks - 1) / blocks);
    const int64_t tasks = blocks * g_.groups * splits;
    const auto task = [&](int64_t i, int worker) {
      const int64_t split = i % splits, group = i / splits % g_.groups, at = i / splits / g_.groups;
      run_block(in, out, runner, worker, rows * at / blocks, rows * (at + 1) / blocks, group, split, splits);
    };
    if (small)
      for (int64_t i = 0; i < tasks; ++i) task(i, 0);
    else
      runner.parallel(tasks, task);
  }

 private:
  // Output pixels [begin, end) of the batch, counted through rows and images, for a share of one group's outputs.
  void run_block(const View* in, const View& out, Runner& runner, int worker, int64_t begin, int64_t end, int64_t group,
                 int64_t split, int64_t splits) const {
    const gemm::Packed& packed = packed_[static_cast<std::size_t>(group)];
    const int64_t taps = g_.taps(), rows = end - begin;
    auto** runs = static_cast<const float**>(runner.scratch(worker, rows * taps * 8));
    int64_t tile_rows = 0;
    gemm::Tile tile{};
    tile.taps = taps;
    tile.length = g_.group_in();
    tile.ld = out.ld;
    tile.low = low_;
    tile.high = high_;
    const View* residual = residual_ ? in + 1 : nullptr;
    const int64_t channel = group * g_.group_out();
    const int64_t first = packed.groups() * split / splits, last = packed.groups() * (split + 1) / splits;
    for (int64_t panel_group = first; panel_group < last; ++panel_group) {
      const int64_t most = packed.max_rows(*kernel_, panel_group);
      if (most != tile_rows) find_runs(in[0], runs, begin, end, group, tile_rows = most);
      packed.place(tile, panel_group);
      const int64_t column = channel + packed.first_panel(panel_group) * gemm::kPanel;
      const int64_t tiles = (rows + most - 1) / most;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
        tile.runs = runs + from * taps;
        tile.rows = to - from;
        tile.out = out.data + (begin + from) * out.ld + column;
        if (residual != nullptr) {
          tile.residual = residual->data + (begin + from) * residual->ld + column;
          tile.residual_ld = residual->ld;
        }
        kernel_->run(tile);
      }
    }
  }

  // Where each tap of each pixel's window starts, tile by tile as the kernel wants them: [tile][tap][row].
  void find_runs(const View& in, const float** runs, int64_t begin, int64_t end, int64_t group, int64_t most) const {
    const int64_t rows = end - begin, tiles = (rows + most - 1) / most, pixels = g_.out_h * g_.out_w;
    const int64_t offset = group * g_.group_in();
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
      const float** at = runs + from * g_.taps();
      for (int64_t r = from; r < to; ++r) {
        const int64_t image = (begin + r) / pixels, pixel = (begin + r) % pixels;
        const int64_t y = pixel / g_.out_w * g_.stride_h - g_.top, x = pixel % g_.out_w * g_.stride_w - g_.left;
        const float* base = in.image(image) + offset;
        const float** to_run = at + (r - from);
        for (int64_t i = 0; i < g_.kernel_h; ++i) {
          const int64_t row = y + i * g_.dilation_h;
          for (int64_t j = 0; j < g_.kernel_w; ++j, to_run += to - from) {
            const int64_t col = x + j * g_.dilation_w;
            const bool inside = row >= 0 && row < in.h && col >= 0 && col < in.w;
            *to_run = inside ? base + (row * in.w + col) * in.ld : zeros_.data();
          }
        }
      }
    }
  }

  Geometry g_;
  float low_, high_;
  bool residual_;
  const gemm::Kernel* kernel_;
  std::vector<gemm::Packed> packed_;
  Aligned<float> zeros_;
};

}  // namespace

std::unique_ptr<Step> make_gemm(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<GemmStep>(g, weight, end, isa);
}

}  // namespace paring::conv2d
