// Everything on codes that is no layer: to and from floats, tables, additions, pools. docs/reference/arithmetic.md says what.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "engine/step.h"
#include "kernels/pool/pool.h"

namespace paring::integer_elementwise {

struct Clamp {
  int32_t zero, low, high;  // codes
};

struct Operand {
  int32_t zero;
  float multiplier;
};

// Windows of one size in a row, each the part that is inside the map.
struct Window {
  const uint8_t* in;
  int64_t rows, cols, row_step, col_step;  // counts, and bytes between neighbors
  int64_t channels;
  int32_t start;      // minus the zero point times the pixels inside
  float multiplier;
  Clamp clamp;
  uint8_t* out;
  int64_t windows, in_step, out_step;  // how many, and bytes from one to the next
};

struct Kernel {
  void (*quantize)(const float* x, uint8_t* y, int64_t n, float scale, const Clamp& clamp);
  void (*dequantize)(const uint8_t* x, float* y, int64_t n, float scale, int32_t zero);
  void (*add)(const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n, const Operand& first, const Operand& second,
              const Clamp& clamp);
  void (*mean)(const Window& windows);
  void (*max)(const Window& windows);
};

std::unique_ptr<Step> make_quantize(float scale, const Clamp& clamp, Isa isa);
std::unique_ptr<Step> make_dequantize(float scale, int32_t zero, Isa isa);
std::unique_ptr<Step> make_add(const Operand& first, const Operand& second, const Clamp& clamp, Isa isa);
std::unique_ptr<Step> make_table(const std::array<uint8_t, 256>& table);
std::unique_ptr<Step> make_max(const pool::Axis& y, const pool::Axis& x, Isa isa);

// A mean's multiplier by how many pixels it is over.
struct Mean {
  double source, target;  // scales
  int32_t source_zero;
  Clamp clamp;
};
std::unique_ptr<Step> make_mean(const pool::Axis& y, const pool::Axis& x, bool count_include_pad, const Mean& mean, Isa isa);
std::unique_ptr<Step> make_global_mean(const Mean& mean, Isa isa);

}  // namespace paring::integer_elementwise
