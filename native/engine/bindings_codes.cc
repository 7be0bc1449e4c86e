// Layers and operators on codes; docs/reference/arithmetic.md says what they compute.
#include <algorithm>

#include "engine/bindings.h"
#include "kernels/integer_conv2d/integer_conv2d.h"
#include "kernels/integer_elementwise/integer_elementwise.h"

namespace paring {
namespace {

// Constants of a layer on codes; `output` is (zero point of the input, that of the output, low, high).
integer_conv2d::Layer integer_layer(const Signed& codes, const Integers& bias, const Floats& multipliers, int64_t outputs,
                                    const std::array<int32_t, 4>& output) {
  expect(static_cast<int64_t>(bias.size()) == outputs && static_cast<int64_t>(multipliers.size()) == outputs,
         "bias or multipliers have the wrong length");
  return {codes.data(), bias.data(), multipliers.data(), {output[0], output[1], output[2], output[3]}};
}

void add_integer_conv2d(Program& plan, std::string name, int input, int output, Signed codes, Integers bias, Floats multipliers,
                        Pair stride, Sides padding, Pair dilation, int64_t groups, const std::array<int32_t, 4>& clamp) {
  const Value &in = plan.value(input), &out = plan.value(output);
  const auto shape = shape_of(codes);
  expect(in.codes && out.codes && groups >= 1 && shape.size() == 4 && shape[0] == out.c && shape[1] * groups == in.c,
         "weight does not fit");
  const conv2d::Geometry g{in.h,      in.w,      in.c,        out.h,       out.w,      out.c,      shape[2], shape[3],
                           stride[0], stride[1], dilation[0], dilation[1], padding[0], padding[2], groups,   in.ld};
  const auto layer = integer_layer(codes, bias, multipliers, out.c, clamp);
  plan.add(std::move(name), integer_conv2d::make(g, layer, plan.isa()), {input}, output);
}

void add_integer_linear(Program& plan, std::string name, int input, int output, Signed codes, Integers bias, Floats multipliers,
                        const std::array<int32_t, 4>& clamp) {
  const Value &in = plan.value(input), &out = plan.value(output);
  const auto shape = shape_of(codes);
  expect(in.pixels() == 1 || in.ld == in.c, "input of a fully connected layer is not contiguous");
  expect(in.codes && out.codes && shape.size() == 2 && shape[0] == out.c && shape[1] == in.pixels() * in.c,
         "weight does not fit");
  const auto layer = integer_layer(codes, bias, multipliers, out.c, clamp);
  plan.add(std::move(name), integer_conv2d::make_linear(shape[0], shape[1], layer, plan.isa()), {input}, output);
}

// Zero point of the output, low, high.
using Ends = std::array<int32_t, 3>;

integer_elementwise::Clamp clamp_of(const Ends& ends) { return {ends[0], ends[1], ends[2]}; }

void add_quantize(Program& plan, std::string name, int input, int output, float scale, Ends ends) {
  plan.add(std::move(name), integer_elementwise::make_quantize(scale, clamp_of(ends), plan.isa()), {input}, output);
}

void add_dequantize(Program& plan, std::string name, int input, int output, float scale, int32_t zero) {
  plan.add(std::move(name), integer_elementwise::make_dequantize(scale, zero, plan.isa()), {input}, output);
}

void add_integer_add(Program& plan, std::string name, std::vector<int> inputs, int output, std::array<int32_t, 2> zeros,
                     std::array<float, 2> multipliers, Ends ends) {
  expect(inputs.size() == 2, "needs two inputs");
  auto step = integer_elementwise::make_add({zeros[0], multipliers[0]}, {zeros[1], multipliers[1]}, clamp_of(ends), plan.isa());
  plan.add(std::move(name), std::move(step), std::move(inputs), output);
}

void add_lookup(Program& plan, std::string name, int input, int output, Bytes table) {
  expect(table.size() == 256, "table is not 256 codes long");
  std::array<uint8_t, 256> copied;
  std::copy_n(table.data(), 256, copied.begin());
  plan.add(std::move(name), integer_elementwise::make_table(copied), {input}, output);
}

void add_integer_mean(Program& plan, std::string name, int input, int output, std::array<double, 2> scales, int32_t zero,
                      Ends ends, bool global, Pair kernel, Pair stride, Sides padding, bool count) {
  const integer_elementwise::Mean mean{scales[0], scales[1], zero, clamp_of(ends)};
  const pool::Axis y{kernel[0], stride[0], 1, padding[0], padding[1]}, x{kernel[1], stride[1], 1, padding[2], padding[3]};
  auto step = global ? integer_elementwise::make_global_mean(mean, plan.isa())
                     : integer_elementwise::make_mean(y, x, count, mean, plan.isa());
  plan.add(std::move(name), std::move(step), {input}, output);
}

}  // namespace

void bind_codes(nb::class_<Program>& program) {
  program.def("integer_conv2d", &add_integer_conv2d)
      .def("integer_linear", &add_integer_linear)
      .def("quantize", &add_quantize)
      .def("dequantize", &add_dequantize)
      .def("integer_add", &add_integer_add)
      .def("lookup", &add_lookup)
      .def("integer_mean", &add_integer_mean);
}

}  // namespace paring
