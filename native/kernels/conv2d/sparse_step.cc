#include <algorithm>
#include <cstring>

#include "kernels/conv2d/conv2d.h"
#include "kernels/sparse/sparse.h"

namespace paring::conv2d {
namespace {

// Bytes of planes that a block of input channels may take, so that they stay in the first-level cache while all outputs
// are computed from them.
constexpr int64_t kBlockBytes = 32 * 1024;
// Entries an output should find in a block; with fewer, reading and writing the sums costs more than the cache gives.
constexpr int64_t kBlockEntries = 12;

// A convolution by its non-zero weights. The input is laid out in planes, a plane for each channel and each phase of the
// stride (every stride-th row and column, from a different first one), padding included; along a plane, the outputs of
// one entry read neighbouring floats. Positions run through the plane's rows, so a few at each row's end mean nothing.
class SparseStep final : public Step {
 public:
  SparseStep(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa)
      : g_(g), low_(end.low), high_(end.high), residual_(end.residual), kernel_(&sparse::kernel(isa)) {
    const int64_t below = (g.kernel_h - 1) * g.dilation_h / g.stride_h, right = (g.kernel_w - 1) * g.dilation_w / g.stride_w;
    width_ = g.out_w + right;
    plane_ = (g.out_h + below) * width_;
    positions_ = (g.out_h - 1) * width_ + g.out_w;
    const int64_t vectors = (positions_ + 15) / 16;
    tiles_ = (vectors + kernel_->max_vectors - 1) / kernel_->max_vectors;
    tile_vectors_ = (vectors + tiles_ - 1) / tiles_;
    tiles_ = (vectors + tile_vectors_ - 1) / tile_vectors_;
    find_phases();
    build(weight, block_channels(weight, (tile_vectors_ * 16 + below * width_ + right) * phases()));
    bias_.reset(g.out_c);
    for (int64_t o = 0; o < g.out_c; ++o) bias_[o] = end.bias == nullptr ? 0.0f : end.bias[o];
  }

  std::string kind() const override { return "conv2d sparse"; }
  int64_t weight_bytes() const override { return entries_.bytes() + bias_.size() * 4; }

  void run(const View* in, const View& out, Runner& runner) const override {
    // Room behind the last plane: the last tile's positions go past the last one that means something.
    const int64_t floats = g_.in_c * phases() * plane_ + kernel_->max_vectors * 16 + 16;
    auto* planes = static_cast<float*>(runner.shared(floats * 4));
    const int64_t blocks = (g_.out_c + 15) / 16, work = entries_.count() * positions_;
    const int64_t tasks = work < 200000 ? 1 : std::min(blocks, (2 * runner.workers() + tiles_ - 1) / tiles_) * tiles_;
    const int64_t splits = std::max<int64_t>(1, tasks / tiles_);
    for (int64_t image = 0; image < in->n; ++image) {
      runner.ranges((g_.in_c + 15) / 16, work < 200000 ? g_.in_c : 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t b = begin; b < end; ++b) spread(*in, image, b * 16, planes);
      });
      std::memset(planes + floats - kernel_->max_vectors * 16 - 16, 0, (kernel_->max_vectors * 16 + 16) * 4);
      const auto task = [&](int64_t i, int worker) {
        const int64_t split = i / tiles_;
        run_tile(in, out, image, i % tiles_, blocks * split / splits * 16,
                 std::min(g_.out_c, blocks * (split + 1) / splits * 16), planes, runner, worker);
      };
      if (tasks == 1)
        for (int64_t t = 0; t < tiles_; ++t) task(t, 0);
      else
        runner.parallel(tiles_ * splits, task);
    }
  }

 private:
  struct Phase {
    int64_t y, x;  // first row and column of the padded input
  };

  int64_t phases() const { return static_cast<int64_t>(phases_.size()); }

  // Phases that some tap reads.
  void find_phases() {
    phase_of_.assign(static_cast<std::size_t>(g_.taps()), 0);
    for (int64_t t = 0; t < g_.taps(); ++t) {
      const Phase phase{t / g_.kernel_w * g_.dilation_h % g_.stride_h, t % g_.kernel_w * g_.dilation_w % g_.stride_w};
      std::size_t i = 0;
      while (i < phases_.size() && (phases_[i].y != phase.y || phases_[i].x != phase.x)) ++i;
      if (i == phases_.size()) phases_.push_back(phase);
      phase_of_[static_cast<std::size_t>(t)] = static_cast<int64_t>(i);
    }
  }

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
            const int64_t y = t / g_.kernel_w * g_.dilation_h / g_.stride_h;
            const int64_t x = t % g_.kernel_w * g_.dilation_w / g_.stride_w;
            const int64_t plane = c * phases() + phase_of_[static_cast<std::size_t>(t)];
            items.push_back({plane * plane_ + y * width_ + x, index});
          }
        }
        entries_.append(items);
      }
    }
  }

  // Up to sixteen channels of an image into their planes.
  void spread(const View& in, int64_t image, int64_t channel, float* planes) const {
    const int64_t columns = std::min<int64_t>(16, g_.in_c - channel), stride = phases() * plane_;
    const int64_t height = plane_ / width_;
    for (int64_t p = 0; p < phases(); ++p) {
      const Phase& phase = phases_[static_cast<std::size_t>(p)];
      // Columns [from, to) of the plane lie inside the image.
      const int64_t left = phase.x - g_.left;
      const int64_t from = std::clamp<int64_t>(left < 0 ? (-left + g_.stride_w - 1) / g_.stride_w : 0, 0, width_);
      const int64_t to = left >= in.w ? from : std::clamp((in.w - left + g_.stride_w - 1) / g_.stride_w, from, width_);
      for (int64_t y = 0; y < height; ++y) {
        const int64_t row = y * g_.stride_h + phase.y - g_.top;
        float* plane = planes + (channel * phases() + p) * plane_ + y * width_;
        const bool inside = row >= 0 && row < in.h;
        for (int64_t c = 0; c < columns; ++c) {
          float* line = plane + c * stride;
          std::fill(line, line + (inside ? from : width_), 0.0f);
          std::fill(line + (inside ? to : width_), line + width_, 0.0f);
        }
        if (!inside || from == to) continue;
        const float* pixel = in.image(image) + (row * in.w + from * g_.stride_w + left) * in.ld + channel;
        kernel_->spread(pixel, in.ld * g_.stride_w, to - from, columns, plane + from, stride);
      }
    }
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
      for (int64_t o = first; o < last; ++o) {
        sparse::Row row(entries_, o, b);
        if (row.count == 0) continue;
        row.planes = planes + begin;
        row.unit = 1;
        row.sums = sums + (o - first) * length;
        row.vectors = vectors;
        kernel_->row(row);
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
  int64_t width_ = 0, plane_ = 0, positions_ = 0, tiles_ = 0, tile_vectors_ = 0;
  std::vector<Phase> phases_;
  std::vector<int64_t> phase_of_;
  sparse::Entries entries_;
  Aligned<float> bias_;
};

}  // namespace

std::unique_ptr<Step> make_sparse(const Geometry& g, const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<SparseStep>(g, weight, end, isa);
}

}  // namespace paring::conv2d
