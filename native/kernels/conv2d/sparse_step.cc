#include <algorithm>

#include "engine/variants.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/sparse/sparse.h"

namespace paring::conv2d {
namespace {

// Bytes of planes that a block of input channels may take, so that they stay in the first-level cache while all outputs
// are computed from them.
constexpr int64_t kBlockBytes = 32 * 1024;
// Entries an output should find in a block; with fewer, reading and writing the sums costs more than the cache gives.
constexpr int64_t kBlockEntries = 12;
constexpr int64_t kLines = 16;  // of the input, spread before they are shifted
constexpr int64_t kSmall = 200000;  // multiplications that are not worth waking a thread

// The same layer seen as simply as it can be: a 1x1 convolution that moves one pixel at a time knows no rows.
Geometry simplest(Geometry g) {
  if (g.taps() == 1 && g.stride_h == 1 && g.stride_w == 1 && g.out_h == g.in_h && g.out_w == g.in_w) {
    g.in_w = g.out_w = g.in_h * g.in_w;
    g.in_h = g.out_h = 1;
  }
  return g;
}

// A convolution by its non-zero weights. The input is laid out in planes, padding included: one for each channel, each
// column of the kernel (so that the plane starts at the first output's tap, and vectors stay aligned) and each phase of
// the vertical stride. Rows are as wide as the output's, rounded up to eight. Along a plane, neighboring outputs read
// neighboring floats, for any entry.
class SparseStep final : public Step {
 public:
  SparseStep(const Geometry& geometry, const Weight& weight, const Epilogue& end, Isa isa)
      : g_(simplest(geometry)), low_(end.low), high_(end.high), residual_(end.residual), kernel_(kernel_for<sparse::Kernel>(isa)) {
    width_ = (g_.out_w + 7) / 8 * 8;
    height_ = g_.out_h + (g_.kernel_h - 1) * g_.dilation_h / g_.stride_h;
    plane_ = (height_ * width_ + 15) / 16 * 16;
    positions_ = (g_.out_h - 1) * width_ + g_.out_w;
    phases_ = g_.phases();
    const int64_t vectors = (positions_ + 15) / 16;
    tiles_ = (vectors + kernel_->max_vectors - 1) / kernel_->max_vectors;
    tile_vectors_ = (vectors + tiles_ - 1) / tiles_;
    tiles_ = (vectors + tile_vectors_ - 1) / tile_vectors_;
    const int64_t rows_read = std::min(height_, tile_vectors_ * 16 / width_ + 1 + height_ - g_.out_h);
    build(weight, block_channels(weight, rows_read * width_ * phases_ * g_.kernel_w));
    bias_.reset(g_.out_c);
    for (int64_t o = 0; o < g_.out_c; ++o) bias_[o] = end.bias == nullptr ? 0.0f : end.bias[o];
  }

  std::string kind() const override { return "conv2d sparse"; }
  int64_t weight_bytes() const override { return entries_.bytes() + bias_.size() * 4; }

  void run(const View* in, const View& out, Runner& runner) const override {
    // Room behind the last plane: the last tile's positions go past the last one that means something.
    const int64_t behind = kernel_->max_vectors * 16, floats = g_.in_c * channel_floats() + behind;
    auto* planes = static_cast<float*>(runner.shared(floats * 4));
    std::fill(planes + floats - behind, planes + floats, 0.0f);
    const int64_t blocks = (g_.out_c + 15) / 16;
    const bool small = runner.workers() == 1 || entries_.count() * positions_ < kSmall;
    const int64_t splits = small ? 1 : std::min(blocks, (2 * runner.workers() + tiles_ - 1) / tiles_);
    for (int64_t image = 0; image < in->n; ++image) {
      runner.ranges((g_.in_c + 15) / 16, small ? g_.in_c : 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t b = begin; b < end; ++b) spread(*in, image, b * 16, planes, runner, worker);
      });
      const auto task = [&](int64_t i, int worker) {
        const int64_t split = i / tiles_;
        run_tile(in, out, image, i % tiles_, blocks * split / splits * 16,
                 std::min(g_.out_c, blocks * (split + 1) / splits * 16), planes, runner, worker);
      };
      if (small)
        for (int64_t t = 0; t < tiles_; ++t) task(t, 0);
      else
        runner.parallel(tiles_ * splits, task);
    }
  }

 private:
  // Floats of a channel's planes.
  int64_t channel_floats() const { return phases_ * g_.kernel_w * plane_; }

  int64_t block_channels(const Weight& weight, int64_t channel_floats) const {
    const int64_t fits = std::max<int64_t>(1, kBlockBytes / (channel_floats * 4));
    const int64_t per_channel = weight.nonzeros() / std::max<int64_t>(1, g_.out_c * g_.in_c) + 1;
    const int64_t worth = kBlockEntries / per_channel;
    return std::min(g_.in_c, std::max(fits, worth));
  }

  void build(const Weight& weight, int64_t channels) {
    const int64_t blocks = (g_.in_c + channels - 1) / channels, depth = g_.group_in();
    entries_ = sparse::Entries(weight, blocks);
    std::vector<sparse::Entries::Item> items;
    for (int64_t o = 0; o < g_.out_c; ++o) {
      const int64_t first = o / g_.group_out() * depth;
      for (int64_t b = 0; b < blocks; ++b) {
        items.clear();
        const int64_t from = std::max(b * channels, first), to = std::min((b + 1) * channels, first + depth);
        for (int64_t c = from; c < to; ++c) {
          for (int64_t t = 0; t < g_.taps(); ++t) {
            const int64_t index = (o * depth + c - first) * g_.taps() + t;
            if (weight.values[static_cast<std::size_t>(index)] == 0.0f) continue;
            const int64_t y = t / g_.kernel_w * g_.dilation_h;
            const int64_t plane = y % g_.stride_h * g_.kernel_w + t % g_.kernel_w;
            items.push_back({c * channel_floats() + plane * plane_ + y / g_.stride_h * width_, index});
          }
        }
        entries_.append(items);
      }
    }
  }

  // Up to sixteen channels of an image into their planes.
  void spread(const View& in, int64_t image, int64_t channel, float* planes, Runner& runner, int worker) const {
    const int64_t columns = std::min<int64_t>(16, g_.in_c - channel);
    const int64_t line = width_ + (g_.kernel_w - 1) * g_.dilation_w;
    const bool shifted = g_.stride_w == 1 && g_.kernel_w > 1;
    float* lines = shifted ? static_cast<float*>(runner.scratch(worker, 16 * kLines * line * 4)) : nullptr;
    for (int64_t phase = 0; phase < phases_; ++phase) {
      float* to = planes + channel * channel_floats() + phase * g_.kernel_w * plane_;
      for (int64_t y = 0; y < height_; ++y) {
        const int64_t row = y * g_.stride_h + phase - g_.top;
        const float* from = row >= 0 && row < g_.in_h ? in.image(image) + row * g_.in_w * in.ld + channel : nullptr;
        if (!shifted) {
          for (int64_t j = 0; j < g_.kernel_w; ++j)
            spread_line(from, in.ld, columns, j * g_.dilation_w - g_.left, width_, to + j * plane_ + y * width_,
                        channel_floats());
          continue;
        }
        // A few lines at a time: what was just written cannot be read back at once.
        spread_line(from, in.ld, columns, -g_.left, line, lines + y % kLines * line, kLines * line);
        if (y % kLines != kLines - 1 && y != height_ - 1) continue;
        const int64_t first = y / kLines * kLines;
        kernel_->shift({lines, to + first * width_, columns, g_.kernel_w, y - first + 1, width_, g_.dilation_w,
                        kLines * line, line, channel_floats(), plane_});
      }
    }
  }

  // Every stride-th pixel of an input row (null for one outside the image), from column `x`, to `length` floats a channel.
  void spread_line(const float* row, int64_t ld, int64_t columns, int64_t x, int64_t length, float* to,
                   int64_t stride) const {
    // Pixels [first, last) of the line lie inside the image.
    const int64_t first = std::clamp<int64_t>(x < 0 ? (-x + g_.stride_w - 1) / g_.stride_w : 0, 0, length);
    int64_t last = x >= g_.in_w ? first : std::clamp((g_.in_w - x + g_.stride_w - 1) / g_.stride_w, first, length);
    if (row == nullptr) last = first;
    for (int64_t c = 0; c < columns; ++c) {
      for (int64_t i = 0; i < first; ++i) to[c * stride + i] = 0.0f;
      for (int64_t i = last; i < length; ++i) to[c * stride + i] = 0.0f;
    }
    if (first < last)
      kernel_->spread(row + (x + first * g_.stride_w) * ld, ld * g_.stride_w, last - first, columns, to + first, stride);
  }

  // Outputs [first, last) over one tile of an image's positions.
  void run_tile(const View* in, const View& out, int64_t image, int64_t tile, int64_t first, int64_t last,
                const float* planes, Runner& runner, int worker) const {
    const int64_t length = tile_vectors_ * 16, begin = tile * length, rows = (last - first + 15) / 16 * 16;
    const int64_t vectors = std::min(tile_vectors_, (positions_ - begin + 15) / 16);
    auto* sums = static_cast<float*>(runner.scratch(worker, rows * length * 4));
    for (int64_t o = 0; o < rows; ++o)
      std::fill(sums + o * length, sums + (o + 1) * length, first + o < last ? bias_[first + o] : 0.0f);
    for (int64_t b = 0; b < entries_.blocks(); ++b) {
      for (int64_t o = first; o < last; o += 16) {
        sparse::Row list[16];
        int64_t count = 0;
        for (int64_t i = o; i < std::min(o + 16, last); ++i) {
          sparse::Row& row = list[count] = sparse::Row(entries_, i, b);
          if (row.count == 0) continue;
          row.sums = sums + (i - first) * length;
          ++count;
        }
        kernel_->run({entries_.code(), entries_.book(), planes + begin, 1, vectors, list, count});
      }
    }
    // The part of each output row that lies in the tile.
    for (int64_t y = begin / width_; y < g_.out_h && y * width_ < begin + vectors * 16; ++y) {
      const int64_t from = std::max<int64_t>(0, begin - y * width_);
      const int64_t to = std::min(g_.out_w, begin + vectors * 16 - y * width_);
      if (from >= to) continue;
      const int64_t pixel = (image * g_.out_h + y) * g_.out_w + from;
      for (int64_t o = first; o < last; o += 16) {
        const float* residual = residual_ ? in[1].data + pixel * in[1].ld + o : nullptr;
        kernel_->finish(sums + (o - first) * length + y * width_ + from - begin, length, to - from,
                        std::min<int64_t>(16, last - o), out.data + pixel * out.ld + o, out.ld, residual,
                        residual_ ? in[1].ld : 0, low_, high_);
      }
    }
  }

  Geometry g_;
  float low_, high_;
  bool residual_;
  const sparse::Kernel* kernel_;
  int64_t width_ = 0, height_ = 0, plane_ = 0, positions_ = 0, phases_ = 1, tiles_ = 0, tile_vectors_ = 0;
  sparse::Entries entries_;
  Aligned<float> bias_;
};

}  // namespace

std::unique_ptr<Step> make_sparse(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<SparseStep>(g, weight, end, isa);
}

}  // namespace paring::conv2d
