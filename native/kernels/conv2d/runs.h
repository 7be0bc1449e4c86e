// What dense convolutions of floats and of codes have in common: how their pixels are split into blocks, and where the
// windows of a block start in memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/memory.h"
#include "engine/step.h"
#include "kernels/conv2d/conv2d.h"

namespace paring::conv2d {

// Output pixels [begin, end) of the batch, counted through rows and images, of one group of channels.
struct Block {
  int64_t begin, end, group;

  int64_t rows() const { return end - begin; }
};

constexpr int64_t kMinBlock = 48, kMaxBlock = 1024;

// Calls task(block, first, last, worker) for all outputs; [first, last) are the block's groups of panels. Blocks read
// about what the second-level cache keeps beside the weights.
//   row_bytes     of input that a pixel of output brings with it
//   panel_groups  of each group of channels
//   tile          the most pixels a kernel takes at a time
//   alone         below so many multiplications no other thread is woken
template <class Task>
void split_blocks(const Geometry& g, int64_t rows, int64_t row_bytes, int64_t panel_groups, int64_t tile,
                  int64_t alone, Runner& runner, Task&& task) {
  constexpr int64_t kBlockBytes = 192 * 1024;
  int64_t block = std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(1, row_bytes), kMinBlock, kMaxBlock);
  const int64_t least = 2 * int64_t{runner.workers()};
  const bool small = runner.workers() == 1 || rows * g.taps() * g.group_in() * g.group_out() * g.groups < alone;
  if (!small) block = std::min(block, std::max<int64_t>(tile, (rows + least - 1) / least));
  const int64_t blocks = (rows + block - 1) / block;
  // Groups of panels are split among threads only where there are too few blocks of pixels to go round.
  const int64_t splits = small || blocks >= least ? 1 : std::min(panel_groups, (least + blocks - 1) / blocks);
  const auto one = [&](int64_t i, int worker) {
    const int64_t split = i % splits, group = i / splits % g.groups, at = i / splits / g.groups;
    const Block b{rows * at / blocks, rows * (at + 1) / blocks, group};
    task(b, panel_groups * split / splits, panel_groups * (split + 1) / splits, worker);
  };
  const int64_t tasks = blocks * g.groups * splits;
  if (small)
    for (int64_t i = 0; i < tasks; ++i) one(i, 0);
  else
    runner.parallel(tasks, one);
}

// Windows as runs of memory: one for each tap, or, where a row of the kernel is one run, one for each of its rows:
// fewer, longer runs. Outside the image lies `outside`.
template <class Element>
class Runs {
 public:
  // `slack`: elements that a kernel may read past the end of a run.
  Runs(const Geometry& g, Element outside, int64_t slack = 0) : g_(g) {
    for (int64_t x = 0; x < g.out_w; ++x) edge_pixels_ += !inside(x * g.stride_w - g.left);
    const int64_t edge = edge_pixels_ == 0 ? 0 : edge_pixels(kMaxBlock) * g.taps() * g.group_in();
    whole_rows_ = g.kernel_w > 1 && g.groups == 1 && g.dilation_w == 1 && g.in_ld == g.in_c && edge <= kMostCopied;
    taps_ = whole_rows_ ? g.kernel_h : g.taps();
    length_ = whole_rows_ ? g.group_in() * g.kernel_w : g.group_in();
    outside_.reset(length_ + slack);
    std::fill_n(outside_.data(), length_ + slack, outside);
  }

  bool whole_rows() const { return whole_rows_; }
  int64_t taps() const { return taps_; }
  int64_t length() const { return length_; }
  // Elements that `find` may copy for a block of so many pixels.
  int64_t copied(int64_t rows) const { return whole_rows_ ? edge_pixels(rows) * taps_ * length_ : 0; }

  // Where each tap of each pixel's window starts, tile by tile as the kernels want them: [tile][tap][row]; `most` pixels
  // make a tile. `data` is the input's first element.
  void find(const Block& b, const Element* data, const View& in, const View& out, const Element** runs,
            Element* patches, int64_t most) const {
    const int64_t rows = b.rows(), tiles = (rows + most - 1) / most;
    int64_t image = b.begin / out.pixels(), y = b.begin % out.pixels() / g_.out_w, x = b.begin % g_.out_w;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = rows * t / tiles, to = rows * (t + 1) / tiles;
      for (int64_t r = from; r < to; ++r) {
        const Window window{data + image * in.pixels() * in.ld + b.group * g_.group_in(), y * g_.stride_h - g_.top,
                            x * g_.stride_w - g_.left};
        const Element** at = runs + from * taps_ + (r - from);
        whole_rows_ ? find_rows(window, at, to - from, patches) : find_taps(window, in, at, to - from);
        if (++x == g_.out_w) x = 0, ++y;
        if (y == g_.out_h) y = 0, ++image;
      }
    }
  }

 private:
  struct Window {
    const Element* image;  // the group's first channel
    int64_t y, x;
  };

  void find_taps(const Window& window, const View& in, const Element** at, int64_t step) const {
    for (int64_t i = 0; i < g_.kernel_h; ++i) {
      const int64_t y = window.y + i * g_.dilation_h;
      for (int64_t j = 0; j < g_.kernel_w; ++j, at += step) {
        const int64_t x = window.x + j * g_.dilation_w;
        const bool inside = y >= 0 && y < in.h && x >= 0 && x < in.w;
        *at = inside ? window.image + (y * in.w + x) * in.ld : outside_.data();
      }
    }
  }

  // The same for whole rows of the kernel; a row that leaves the image sideways is copied with what lies outside.
  void find_rows(const Window& window, const Element** at, int64_t step, Element*& patches) const {
    const int64_t last_y = window.y + (g_.kernel_h - 1) * g_.dilation_h;
    if (window.y >= 0 && last_y < g_.in_h && inside(window.x)) {
      const Element* row = window.image + (window.y * g_.in_w + window.x) * g_.in_c;
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
        const Element* row = window.image + y * g_.in_w * g_.in_c;
        for (int64_t k = first * g_.in_c; k < last * g_.in_c; ++k) patches[k] = row[window.x * g_.in_c + k];
        *at = patches;
        patches += length_;
      }
    }
  }

  bool inside(int64_t x) const { return x >= 0 && x + g_.kernel_w <= g_.in_w; }

  // Most pixels of a block of so many rows whose windows leave the image sideways.
  int64_t edge_pixels(int64_t rows) const { return std::min(rows, (rows / g_.out_w + 2) * edge_pixels_); }

  // Elements of windows that may be copied because they cross the left or right edge, for one block.
  static constexpr int64_t kMostCopied = int64_t{1} << 20;

  Geometry g_;
  bool whole_rows_ = false;
  int64_t taps_ = 0, length_ = 0, edge_pixels_ = 0;
  Aligned<Element> outside_;
};

}  // namespace paring::conv2d
