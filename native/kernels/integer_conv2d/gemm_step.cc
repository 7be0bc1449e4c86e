#include <algorithm>
#include <vector>

#include "kernels/integer_conv2d/integer_conv2d.h"

namespace paring::integer_conv2d {
namespace {

using integer_gemm::Packed;

// Bytes of input that a block of output pixels may read: about what the second-level cache keeps beside the weights.
constexpr int64_t kBlockBytes = 192 * 1024;

// Codes of windows that may be copied because they cross the left or right edge, for one block.
constexpr int64_t kEdgeCodes = int64_t{1} << 20;

// As conv2d/gemm_step.cc, on codes: outside the image are zero points.
class GemmStep final : public Step {
 public:
  GemmStep(const Geometry& g, const Layer& layer, Isa isa)
      : g_(g), output_(layer.output), kernel_(&integer_gemm::kernel(isa)) {
    // Where a kernel's row is one run of memory, it is one tap: fewer, longer runs.
    const int64_t length = g.group_in(), taps = g.taps(), outputs = g.group_out();
    for (int64_t x = 0; x < g.out_w; ++x) edge_pixels_ += !inside(x * g.stride_w - g.left);
    const int64_t edge = edge_pixels_ == 0 ? 0 : edge_pixels(kMaxBlock) * taps * length;
    whole_rows_ = g.kernel_w > 1 && g.groups == 1 && g.dilation_w == 1 && g.in_ld == g.in_c && edge <= kEdgeCodes;
    taps_ = whole_rows_ ? g.kernel_h : taps;
    length_ = whole_rows_ ? length * g.kernel_w : length;
    for (int64_t group = 0; group < g.groups; ++group) {
      const int8_t* codes = layer.weights + group * outputs * length * taps;
      // In a row of the kernel that is one run, k counts channels fastest.
      const auto at = [&](int64_t o, int64_t t, int64_t k) {
        const int64_t tap = whole_rows_ ? t * g.kernel_w + k / length : t;
        return codes[(o * length + k % length) * taps + tap];
      };
      packed_.emplace_back(outputs, taps_, length_, layer.bias + group * outputs, layer.multipliers + group * outputs,
                           output_.source_zero, kernel_->unit, at);
    }
    outside_.reset(length_ + 4);
    std::fill_n(outside_.data(), length_ + 4, static_cast<uint8_t>(output_.source_zero));
  }

  std::string kind() const override { return g_.taps() == 1 ? "integer_conv2d 1x1 gemm" : "integer_conv2d gemm"; }
  int64_t weight_bytes() const override {
    int64_t sum = 0;
    for (const auto& packed : packed_) sum += packed.bytes();
    return sum;
  }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t rows = out.rows(), depth = g_.taps() * g_.group_in();
    const int64_t per_row = std::max<int64_t>(1, g_.in_c * g_.stride_h * g_.stride_w);
    int64_t block = std::clamp<int64_t>(kBlockBytes / per_row, kMinBlock, kMaxBlock);
    const int64_t least = 2 * int64_t{runner.workers()};
    const bool small = runner.workers() == 1 || rows * depth * g_.group_out() * g_.groups < kSmall;
    if (!small) block = std::min(block, std::max<int64_t>(integer_gemm::kMaxRows, (rows + least - 1) / least));
    const int64_t blocks = (rows + block - 1) / block;
    // Groups of panels are split among threads only where there are too few blocks of pixels to go round.
    const int64_t splits =
        small || blocks >= least ? 1 : std::min(packed_[0].groups(), (least + blocks - 1) / blocks);
    const auto task = [&](int64_t i, int worker) {
      const int64_t split = i % splits, group = i / splits % g_.groups, at = i / splits / g_.groups;
      Block b{in, &out, rows * at / blocks, rows * (at + 1) / blocks, group};
      const int64_t groups = packed_[static_cast<std::size_t>(group)].groups();
      run_block(b, groups * split / splits, groups * (split + 1) / splits, runner, worker);
    };
    const int64_t tasks = blocks * g_.groups * splits;
    if (small)
      for (int64_t i = 0; i < tasks; ++i) task(i, 0);
    else
      runner.parallel(tasks, task);
  }

 private:
  // Output pixels [begin, end) of the batch, counted through rows and images, of one group of channels.
  struct Block {
    const View* in;
    const View* out;
    int64_t begin, end, group;

    int64_t rows() const { return end - begin; }
  };

  // The block's outputs of panel groups [first, last).
  void run_block(const Block& b, int64_t first, int64_t last, Runner& runner, int worker) const {
    const Packed& packed = packed_[static_cast<std::size_t>(b.group)];
    const int64_t rows = b.rows(), edges = whole_rows_ ? edge_pixels(rows) * taps_ * length_ : 0;
    auto** runs = static_cast<const uint8_t**>(runner.scratch(worker, edges + rows * taps_ * 8));
    auto* patches = reinterpret_cast<uint8_t*>(runs + rows * taps_);
    integer_gemm::Tile tile{};
    tile.taps = taps_;
    tile.ld = b.out->ld;
    tile.low = output_.from();
    tile.high = output_.to();
    tile.zero = output_.zero;
    int64_t tile_rows = 0;
    for (int64_t group = first; group < last; ++group) {
      const int64_t most = packed.max_rows(*kernel_, group);
      if (most != tile_rows) find_runs(b, runs, patches, tile_rows = most);
      packed.place(tile, group);
      const int64_t column = b.group * g_.group_out() + packed.first_panel(group) * integer_gemm::kPanel;
      const int64_t tiles = (rows + most - 1) / most;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
        tile.runs = runs + from * taps_;
        tile.rows = to - from;
        tile.out = b.out->codes + (b.begin + from) * b.out->ld + column;
        kernel_->run(tile);
      }
    }
  }

  // Where each tap of each pixel's window starts, tile by tile as the kernel wants them: [tile][tap][row].
  void find_runs(const Block& b, const uint8_t** runs, uint8_t* patches, int64_t most) const {
    const int64_t rows = b.rows(), tiles = (rows + most - 1) / most;
    int64_t image = b.begin / b.out->pixels(), y = b.begin % b.out->pixels() / g_.out_w, x = b.begin % g_.out_w;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
      for (int64_t r = from; r < to; ++r) {
        const Window window{b.in->code_image(image) + b.group * g_.group_in(), y * g_.stride_h - g_.top,
                            x * g_.stride_w - g_.left};
        const uint8_t** at = runs + from * taps_ + (r - from);
        whole_rows_ ? find_rows(window, at, to - from, patches) : find_taps(window, *b.in, at, to - from);
        if (++x == g_.out_w) x = 0, ++y;
        if (y == g_.out_h) y = 0, ++image;
      }
    }
  }

  struct Window {
    const uint8_t* image;  // the group's first channel
    int64_t y, x;
  };

  void find_taps(const Window& window, const View& in, const uint8_t** at, int64_t step) const {
    for (int64_t i = 0; i < g_.kernel_h; ++i) {
      const int64_t y = window.y + i * g_.dilation_h;
      for (int64_t j = 0; j < g_.kernel_w; ++j, at += step) {
        const int64_t x = window.x + j * g_.dilation_w;
        const bool inside = y >= 0 && y < in.h && x >= 0 && x < in.w;
        *at = inside ? window.image + (y * in.w + x) * in.ld : outside_.data();
      }
    }
  }

  // The same for whole rows of the kernel; a row that leaves the image sideways is copied with its zero points.
  void find_rows(const Window& window, const uint8_t** at, int64_t step, uint8_t*& patches) const {
    const int64_t last_y = window.y + (g_.kernel_h - 1) * g_.dilation_h;
    if (window.y >= 0 && last_y < g_.in_h && inside(window.x)) {
      const uint8_t* row = window.image + (window.y * g_.in_w + window.x) * g_.in_c;
      const int64_t down = g_.dilation_h * g_.in_w * g_.in_c;
      for (int64_t i = 0; i < g_.kernel_h; ++i, at += step, row += down) *at = row;
      return;
    }
    for (int64_t i = 0; i < g_.kernel_h; ++i, at += step) {
      const int64_t y = window.y + i * g_.dilation_h;
      if (y < 0 || y >= g_.in_h) {
        *at = outside_.data();
      } else if (inside(window.x)) {
        *at = window.image + (y * g_.in_w + window.x) * g_.in_c;
      } else {
        const int64_t first = std::clamp<int64_t>(-window.x, 0, g_.kernel_w);
        const int64_t last = std::clamp<int64_t>(g_.in_w - window.x, first, g_.kernel_w);
        std::fill(patches, patches + length_, outside_[0]);
        const uint8_t* row = window.image + y * g_.in_w * g_.in_c;
        for (int64_t k = first * g_.in_c; k < last * g_.in_c; ++k) patches[k] = row[window.x * g_.in_c + k];
        *at = patches;
        patches += length_;
      }
    }
  }

  bool inside(int64_t x) const { return x >= 0 && x + g_.kernel_w <= g_.in_w; }

  // Most pixels of a block of so many rows whose windows leave the image sideways.
  int64_t edge_pixels(int64_t rows) const { return std::min(rows, (rows / g_.out_w + 2) * edge_pixels_); }

  static constexpr int64_t kMinBlock = 48, kMaxBlock = 1024;
  static constexpr int64_t kSmall = 600000;  // multiplications that are not worth waking a thread

  Geometry g_;
  Output output_;
  bool whole_rows_ = false;
  int64_t taps_ = 0, length_ = 0, edge_pixels_ = 0;
  const integer_gemm::Kernel* kernel_;
  std::vector<Packed> packed_;
  Aligned<uint8_t> outside_;  // a run of zero points
};

}  // namespace

std::unique_ptr<Step> make_gemm(const Geometry& g, const Layer& layer, Isa isa) {
  return std::make_unique<GemmStep>(g, layer, isa);
}

}  // namespace paring::integer_conv2d
