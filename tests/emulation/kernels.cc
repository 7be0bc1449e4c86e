// Variants of the kernels on codes, with their instructions emulated, against the plain ones on random layers.
// test_emulation.py builds and runs it, with the variants it wants as X(name) in GEMM, DEPTHWISE and ELEMENTWISE; it
// prints what it compared, or stops at the first difference.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/integer_depthwise/integer_depthwise.h"
#include "kernels/integer_elementwise/integer_elementwise.h"
#include "kernels/integer_gemm/integer_gemm.h"

#define X(name) extern const Kernel name##_kernel;
namespace paring {
namespace integer_gemm {
X(scalar) GEMM
}
namespace integer_depthwise {
X(scalar) DEPTHWISE
}
namespace integer_elementwise {
X(scalar) ELEMENTWISE
}
}  // namespace paring
#undef X

namespace {

std::mt19937 random_bits(20151);

int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_bits); }

template <class T>
std::vector<T> numbers(int64_t count, int64_t low, int64_t high) {
  std::vector<T> out(static_cast<std::size_t>(count));
  for (T& x : out) x = static_cast<T>(pick(low, high));
  return out;
}

void same(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, const char* what) {
  if (a == b) return;
  std::printf("%s differs\n", what);
  std::exit(1);
}

// All tiles of one layer by one kernel; bytes outside the outputs must stay as they were.
std::vector<uint8_t> layer_by(const paring::integer_gemm::Kernel& kernel, int64_t rows, int64_t outputs, int64_t taps,
                              int64_t length, const std::vector<int8_t>& w, const std::vector<int32_t>& bias,
                              const std::vector<float>& m, const std::vector<uint8_t>& x) {
  const paring::integer_gemm::Output end{131, 7, 3, 250};
  const auto at = [&](int64_t o, int64_t t, int64_t k) { return w[static_cast<std::size_t>((o * taps + t) * length + k)]; };
  const paring::integer_gemm::Packed packed(outputs, taps, length, bias.data(), m.data(), end.source_zero, kernel.unit, at);
  std::vector<uint8_t> out(static_cast<std::size_t>(rows * (outputs + 5)), 9);
  for (int64_t g = 0; g < packed.groups(); ++g) {
    const int64_t most = packed.max_rows(kernel, g);
    for (int64_t from = 0; from < rows; from += most) {
      const int64_t n = std::min(most, rows - from);
      std::vector<const uint8_t*> runs;
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t r = 0; r < n; ++r) runs.push_back(x.data() + ((from + r) * taps + t) * length);
      paring::integer_gemm::Tile tile{};
      packed.place(tile, g);
      tile.runs = runs.data();
      tile.rows = n;
      tile.taps = taps;
      tile.out = out.data() + from * (outputs + 5) + packed.first_panel(g) * 16;
      tile.ld = outputs + 5;
      tile.low = end.from();
      tile.high = end.to();
      tile.zero = end.zero;
      kernel.run(tile);
    }
  }
  return out;
}

std::vector<float> multipliers(int64_t count, double scale) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(static_cast<float>(scale * static_cast<double>(pick(1, 1000))));
  return out;
}

void layers() {
  for (int trial = 0; trial < 300; ++trial) {
    const int64_t rows = pick(1, 30), outputs = pick(1, 140), taps = pick(1, 9), length = pick(1, 40);
    const auto w = numbers<int8_t>(outputs * taps * length, -127, 127);
    const auto x = numbers<uint8_t>(rows * taps * length + 4, 0, 255);
    const auto bias = numbers<int32_t>(outputs, -100000, 100000);
    const auto m = multipliers(outputs, 1e-6);
    const auto by = [&](const auto& kernel) { return layer_by(kernel, rows, outputs, taps, length, w, bias, m, x); };
    const auto expected = by(paring::integer_gemm::scalar_kernel);
#define X(name) same(by(paring::integer_gemm::name##_kernel), expected, "integer_gemm " #name);
    GEMM
#undef X
  }
}

void depthwise() {
  for (int trial = 0; trial < 300; ++trial) {
    const int64_t channels = pick(1, 100), taps = pick(1, 12), pixels = pick(1, 11), padded = (channels + 15) / 16 * 16;
    auto w = numbers<int32_t>(padded * taps, -127, 127);
    for (int32_t& x : w) x &= 0xffff;
    const auto start = numbers<int32_t>(padded, -100000, 100000);
    const auto m = multipliers(padded, 1e-5);
    const auto x = numbers<uint8_t>(500 + channels, 0, 255);
    std::vector<const uint8_t*> at;
    for (int64_t i = 0; i < pixels * taps; ++i) at.push_back(x.data() + pick(0, 500));
    // Kernels that take two taps at once want them in pairs, the last with a weight of zero.
    const auto by = [&](const auto& kernel) {
      const int64_t each = (taps + kernel.taps - 1) / kernel.taps * kernel.taps, steps = each / kernel.taps;
      std::vector<const uint8_t*> places;
      for (int64_t i = 0; i < pixels * each; ++i) places.push_back(i % each < taps ? at[i / each * taps + i % each] : x.data());
      std::vector<int32_t> lanes(static_cast<std::size_t>(padded * steps));
      for (int64_t c = 0; c < padded; ++c)
        for (int64_t t = 0; t < taps; ++t)
          lanes[(c / 16 * steps + t / kernel.taps) * 16 + c % 16] |= w[c * taps + t] << 16 * (t % kernel.taps);
      std::vector<uint8_t> out(static_cast<std::size_t>(pixels * (channels + 3)), 9);
      kernel.run({places.data(), pixels, each, channels, lanes.data(), start.data(), m.data(), out.data(), channels + 3, -7, 240, 7});
      return out;
    };
    const auto expected = by(paring::integer_depthwise::scalar_kernel);
#define X(name) same(by(paring::integer_depthwise::name##_kernel), expected, "integer_depthwise " #name);
    DEPTHWISE
#undef X
  }
}

void elementwise(const paring::integer_elementwise::Kernel& wide) {
  const auto& plain = paring::integer_elementwise::scalar_kernel;
  const paring::integer_elementwise::Clamp clamp{37, 5, 250};
  for (int trial = 0; trial < 300; ++trial) {
    const int64_t n = pick(1, 100);
    const auto a = numbers<uint8_t>(4 * n + 16, 0, 255), b = numbers<uint8_t>(n, 0, 255);
    std::vector<float> x = multipliers(n, trial % 2 ? 0.5 : 0.01), y(x), z(x);
    x[0] = trial % 3 ? -x[0] : __builtin_nanf("");
    std::vector<uint8_t> one(static_cast<std::size_t>(n)), two(one);
    plain.quantize(x.data(), one.data(), n, 0.5f, clamp), wide.quantize(x.data(), two.data(), n, 0.5f, clamp);
    same(two, one, "quantize");
    plain.dequantize(a.data(), y.data(), n, 0.37f, 9), wide.dequantize(a.data(), z.data(), n, 0.37f, 9);
    if (std::memcmp(y.data(), z.data(), static_cast<std::size_t>(n) * 4) != 0) std::exit(1);
    plain.add(a.data(), b.data(), one.data(), n, {7, 0.3f}, {131, 1.7f}, clamp);
    wide.add(a.data(), b.data(), two.data(), n, {7, 0.3f}, {131, 1.7f}, clamp);
    same(two, one, "add");
    for (auto run : {&paring::integer_elementwise::Kernel::mean, &paring::integer_elementwise::Kernel::max}) {
      (plain.*run)({a.data(), 2, 2, 2 * n, n, n, -400, 0.21f, clamp, one.data(), 1, 0, n});
      (wide.*run)({a.data(), 2, 2, 2 * n, n, n, -400, 0.21f, clamp, two.data(), 1, 0, n});
      same(two, one, "pool");
    }
  }
}

}  // namespace

int main() {
  layers();
  depthwise();
#define X(name) elementwise(paring::integer_elementwise::name##_kernel);
  ELEMENTWISE
#undef X
  std::puts("300 layers, 300 depthwise, 300 elementwise");
}
