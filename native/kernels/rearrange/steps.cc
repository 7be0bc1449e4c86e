#include <algorithm>
#include <cstring>

#include "kernels/rearrange/rearrange.h"

namespace paring::rearrange {
namespace {

constexpr int64_t kGrain = 16384;  // numbers that are worth another thread

template <class T>
void copy(T* to, const T* from, int64_t n) {
  std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
}

// Elements are floats or codes.
template <class T>
T* image_of(const View& view, int64_t image) {
  if constexpr (sizeof(T) == 1)
    return view.code_image(image);
  else
    return view.image(image);
}

template <class T>
class CopyStep final : public Step {
 public:
  CopyStep(int64_t stride_h, int64_t stride_w, int64_t top, int64_t left, int64_t front, T outside)
      : stride_h_(stride_h), stride_w_(stride_w), top_(top), left_(left), front_(front), outside_(outside) {}
  std::string kind() const override { return "copy"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    runner.ranges(out.n * out.h, kGrain / (out.w * out.c) + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) run_row(*in, out, row / out.h, row % out.h);
    });
  }

 private:
  void run_row(const View& in, const View& out, int64_t image, int64_t oy) const {
    const int64_t y = oy * stride_h_ - top_;
    // Channels [first, last) of the output come from the input.
    const int64_t first = std::max<int64_t>(0, front_), last = std::min(out.c, front_ + in.c);
    T* to = image_of<T>(out, image) + oy * out.w * out.ld;
    for (int64_t ox = 0; ox < out.w; ++ox, to += out.ld) {
      const int64_t x = ox * stride_w_ - left_;
      if (y < 0 || y >= in.h || x < 0 || x >= in.w) {
        std::fill_n(to, out.c, outside_);
        continue;
      }
      std::fill_n(to, first, outside_);
      copy<T>(to + first, image_of<T>(in, image) + (y * in.w + x) * in.ld + first - front_, last - first);
      std::fill_n(to + last, out.c - last, outside_);
    }
  }

  int64_t stride_h_, stride_w_, top_, left_, front_;
  T outside_;
};

template <class T>
class ShuffleStep final : public Step {
 public:
  explicit ShuffleStep(int64_t groups) : groups_(groups) {}
  std::string kind() const override { return "channel_shuffle"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t width = out.c / groups_;
    runner.ranges(out.rows(), kGrain / out.c + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* from = image_of<T>(*in, 0) + row * in->ld;
        T* to = image_of<T>(out, 0) + row * out.ld;
        for (int64_t i = 0; i < width; ++i)
          for (int64_t g = 0; g < groups_; ++g) *to++ = from[g * width + i];
      }
    });
  }

 private:
  int64_t groups_;
};

template <class T>
class FlattenStep final : public Step {
 public:
  std::string kind() const override { return "flatten chw"; }

  void run(const View* in, const View& out, Runner& runner) const override {
    const int64_t pixels = in->pixels();
    runner.ranges(in->n * in->c, kGrain / pixels + 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / in->c, channel = i % in->c;
        const T* from = image_of<T>(*in, image) + channel;
        T* to = image_of<T>(out, image) + channel * pixels;
        for (int64_t p = 0; p < pixels; ++p) to[p] = from[p * in->ld];
      }
    });
  }
};

}  // namespace

std::unique_ptr<Step> make_copy(int64_t stride_h, int64_t stride_w, int64_t top, int64_t left, int64_t front, int outside) {
  if (outside < 0) return std::make_unique<CopyStep<float>>(stride_h, stride_w, top, left, front, 0.0f);
  return std::make_unique<CopyStep<uint8_t>>(stride_h, stride_w, top, left, front, static_cast<uint8_t>(outside));
}
std::unique_ptr<Step> make_channel_shuffle(int64_t groups, bool codes) {
  if (codes) return std::make_unique<ShuffleStep<uint8_t>>(groups);
  return std::make_unique<ShuffleStep<float>>(groups);
}
std::unique_ptr<Step> make_flatten_chw(bool codes) {
  if (codes) return std::make_unique<FlattenStep<uint8_t>>();
  return std::make_unique<FlattenStep<float>>();
}

}  // namespace paring::rearrange
