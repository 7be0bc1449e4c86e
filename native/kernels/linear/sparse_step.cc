#include <algorithm>

#include "engine/variants.h"
#include "kernels/linear/linear.h"
#include "kernels/sparse/sparse.h"
#include "kernels/sparse_windows/sparse_windows.h"

namespace paring::linear {
namespace {

// Fewer examples than this are computed one after the other; more lie side by side in vectors.
constexpr int64_t kTogether = 8;
constexpr int64_t kSmall = 100000;  // multiplications that are not worth waking a thread

// A fully connected layer by its non-zero weights.
class SparseStep final : public Step {
 public:
  SparseStep(const Weight& weight, const Epilogue& end, Isa isa)
      : end_(end), kernel_(kernel_for<sparse::Kernel>(isa)), windows_kernel_(kernel_for<sparse_windows::Kernel>(isa)) {
    const int64_t outputs = weight.shape[0], inputs = weight.shape[1];
    bias_.assign(static_cast<std::size_t>((outputs + 15) / 16 * 16), 0.0f);
    for (int64_t o = 0; end.bias != nullptr && o < outputs; ++o) bias_[static_cast<std::size_t>(o)] = end.bias[o];
    end_.bias = nullptr;
    entries_ = sparse::Entries(weight, 1);
    std::vector<sparse::Entries::Item> items;
    for (int64_t o = 0; o < outputs; ++o) {
      items.clear();
      for (int64_t k = 0; k < inputs; ++k)
        if (weight.values[static_cast<std::size_t>(o * inputs + k)] != 0.0f) items.push_back({k, o * inputs + k});
      entries_.append(items);
    }
    if (windows_kernel_ == nullptr) return;
    windows_ = sparse_windows::Windows(weight);
    windows_.set_bias(bias_.data());
  }

  std::string kind() const override { return "linear sparse"; }
  int64_t weight_bytes() const override {
    return entries_.bytes() + windows_.bytes() + static_cast<int64_t>(bias_.size()) * 4;
  }

  void run(const View* in, const View& out, Runner& runner) const override {
    if (in->n >= kTogether) return run_together(in, out, runner);
    for (int64_t i = 0; i < in->n; ++i)
      windows_kernel_ != nullptr ? run_windows(in, out, i, runner) : run_dots(in, out, i, runner);
  }

 private:
  // One example by windows of its inputs.
  void run_windows(const View* in, const View& out, int64_t image, Runner& runner) const {
    const float* x = in->data + image * in->ld;
    const auto& live = windows_.live();
    auto* packed = static_cast<float*>(runner.shared(windows_.padded_inputs() * 4));
    if (static_cast<int64_t>(live.size()) == in->c)
      std::copy(x, x + in->c, packed);
    else
      for (std::size_t i = 0; i < live.size(); ++i) packed[i] = x[live[i]];
    std::fill(packed + live.size(), packed + windows_.padded_inputs(), 0.0f);
    const auto group = [&](int64_t g, int) {
      float sums[sparse_windows::Windows::kPanels * sparse_windows::Windows::kLanes];
      windows_kernel_->run(windows_.group(g), packed, sums);
      const int32_t* outputs = windows_.outputs_of(g);
      for (std::size_t i = 0; i < std::size(sums) && outputs[i] >= 0; ++i) write(in, out, image, outputs[i], sums[i]);
    };
    if (entries_.count() < kSmall)
      for (int64_t g = 0; g < windows_.groups(); ++g) group(g, 0);
    else
      runner.parallel(windows_.groups(), group);
  }

  // One example, a few outputs at a time.
  void run_dots(const View* in, const View& out, int64_t image, Runner& runner) const {
    runner.ranges((out.c + 3) / 4, entries_.count() < kSmall ? out.c : 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin * 4; o < std::min(out.c, end * 4); o += 4) {
        const int64_t count = std::min<int64_t>(4, out.c - o);
        float sums[4];
        sparse::Row rows[4] = {row(o, 0, count), row(o, 1, count), row(o, 2, count), row(o, 3, count)};
        for (int64_t i = 0; i < 4; ++i) {
          sums[i] = bias_[static_cast<std::size_t>(std::min(o + i, out.c - 1))];
          rows[i].sums = sums + i;
        }
        kernel_->dot({entries_.code(), entries_.book(), in->data + image * in->ld, 1, 0, rows, count});
        for (int64_t i = 0; i < count; ++i) write(in, out, image, o + i, sums[i]);
      }
    });
  }
  sparse::Row row(int64_t first, int64_t i, int64_t count) const {
    return sparse::Row(entries_, first + std::min(i, count - 1), 0);
  }

  void write(const View* in, const View& out, int64_t image, int64_t o, float y) const {
    if (end_.residual) y += in[1].data[image * in[1].ld + o];
    y = y < end_.low ? end_.low : y;
    out.data[image * out.ld + o] = y > end_.high ? end_.high : y;
  }

  // A batch: inputs in planes over its examples.
  void run_together(const View* in, const View& out, Runner& runner) const {
    const int64_t length = (in->n + 15) / 16 * 16, inputs = in->c;
    auto* planes = static_cast<float*>(runner.shared((inputs * length + kernel_->max_vectors * 16) * 4));
    const bool small = entries_.count() * length < kSmall;
    runner.ranges((inputs + 15) / 16, small ? inputs : 8, [&](int64_t begin, int64_t end, int) {
      for (int64_t k = begin * 16; k < std::min(inputs, end * 16); k += 16)
        kernel_->spread(in->data + k, in->ld, in->n, std::min<int64_t>(16, inputs - k), planes + k * length, length);
    });
    runner.ranges((out.c + 15) / 16, small ? out.c : 1, [&](int64_t begin, int64_t end, int worker) {
      auto* sums = static_cast<float*>(runner.scratch(worker, 16 * length * 4));
      for (int64_t o = begin * 16; o < std::min(out.c, end * 16); o += 16) run_rows(in, out, o, planes, sums, length);
    });
  }

  void run_rows(const View* in, const View& out, int64_t first, const float* planes, float* sums, int64_t length) const {
    const int64_t columns = std::min<int64_t>(16, out.c - first);
    for (int64_t i = 0; i < 16; ++i)
      std::fill(sums + i * length, sums + (i + 1) * length, bias_[static_cast<std::size_t>(first + i)]);
    int64_t vectors = 0;
    for (int64_t at = 0; at < length; at += vectors * 16) {
      vectors = std::min(kernel_->max_vectors, (length - at) / 16);
      sparse::Row rows[16];
      for (int64_t i = 0; i < columns; ++i) {
        rows[i] = sparse::Row(entries_, first + i, 0);
        rows[i].sums = sums + i * length + at;
      }
      kernel_->run({entries_.code(), entries_.book(), planes + at, length, vectors, rows, columns});
    }
    const float* residual = end_.residual ? in[1].data + first : nullptr;
    kernel_->finish(sums, length, in->n, columns, out.data + first, out.ld, residual, end_.residual ? in[1].ld : 0,
                    end_.low, end_.high);
  }

  Epilogue end_;
  const sparse::Kernel* kernel_;
  const sparse_windows::Kernel* windows_kernel_;
  std::vector<float> bias_;
  sparse::Entries entries_;
  sparse_windows::Windows windows_;
};

}  // namespace

std::unique_ptr<Step> make_sparse(const Weight& weight, const Epilogue& end, Isa isa) {
  return std::make_unique<SparseStep>(weight, end, isa);
}

}  // namespace paring::linear
