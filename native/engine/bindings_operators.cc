// Operators on floats that are no layers, and what moves floats and codes without changing them.
#include "engine/bindings.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/integer_elementwise/integer_elementwise.h"
#include "kernels/per_pixel/per_pixel.h"
#include "kernels/pool/pool.h"
#include "kernels/rearrange/rearrange.h"

namespace paring {
namespace {

void add_pool(Program& plan, std::string name, int input, int output, const std::string& kind, Pair kernel, Pair stride,
              Sides padding, Pair dilation, bool count_include_pad) {
  const pool::Axis y{kernel[0], stride[0], dilation[0], padding[0], padding[1]};
  const pool::Axis x{kernel[1], stride[1], dilation[1], padding[2], padding[3]};
  if (plan.value(input).codes) {
    expect(kind == "max", "codes have other means");
    return plan.add(std::move(name), integer_elementwise::make_max(y, x, plan.isa()), {input}, output);
  }
  auto step = kind == "max"   ? pool::make_max(y, x, plan.isa())
              : kind == "avg" ? pool::make_avg(y, x, count_include_pad, plan.isa())
                              : pool::make_adaptive_avg(plan.isa());
  plan.add(std::move(name), std::move(step), {input}, output);
}

void add_unary(Program& plan, std::string name, int input, int output, const std::string& kind, float a, float b) {
  using elementwise::Unary;
  static constexpr std::pair<const char*, Unary> kinds[] = {
      {"clip", Unary::clip},       {"leaky_relu", Unary::leaky_relu}, {"sigmoid", Unary::sigmoid},
      {"tanh", Unary::tanh},       {"hard_sigmoid", Unary::hard_sigmoid}, {"hard_swish", Unary::hard_swish},
      {"silu", Unary::silu},       {"gelu", Unary::gelu},             {"sign", Unary::sign},
      {"abs", Unary::absolute}};
  for (const auto& [its_name, unary] : kinds)
    if (kind == its_name)
      return plan.add(std::move(name), elementwise::make_unary(unary, a, b, plan.isa()), {input}, output);
  throw std::invalid_argument("no such elementwise operator");
}

std::vector<float> floats(const Floats& array, int64_t size) {
  expect(static_cast<int64_t>(array.size()) == size, "weight does not fit the channels");
  return {array.data(), array.data() + array.size()};
}

void add_channelwise(Program& plan, std::string name, elementwise::Channelwise kind, int input, int output,
                     std::vector<float> a, std::vector<float> b) {
  plan.add(std::move(name), elementwise::make_channelwise(kind, std::move(a), std::move(b), plan.isa()), {input}, output);
}

void add_scale_shift(Program& plan, std::string name, int input, int output, Floats scale, Floats shift) {
  const int64_t c = plan.value(input).c;
  add_channelwise(plan, std::move(name), elementwise::Channelwise::scale_shift, input, output, floats(scale, c), floats(shift, c));
}

void add_prelu(Program& plan, std::string name, int input, int output, Floats slope) {
  auto slopes = floats(slope, plan.value(input).c);
  add_channelwise(plan, std::move(name), elementwise::Channelwise::prelu, input, output, std::move(slopes), {});
}

void add_binary(Program& plan, std::string name, std::vector<int> inputs, int output, const std::string& kind) {
  const auto binary = kind == "add" ? elementwise::Binary::add : elementwise::Binary::mul;
  expect(inputs.size() == 2, "needs two inputs");
  const Value &first = plan.value(inputs[0]), &second = plan.value(inputs[1]);
  const bool each_pixel = second.c == 1 && first.c > 1 && second.pixels() == first.pixels();
  auto step = each_pixel ? per_pixel::make_binary(binary) : elementwise::make_binary(binary, plan.isa());
  plan.add(std::move(name), std::move(step), std::move(inputs), output);
}

void add_channel_mean(Program& plan, std::string name, int input, int output) {
  plan.add(std::move(name), per_pixel::make_mean(), {input}, output);
}

void add_softmax(Program& plan, std::string name, int input, int output) {
  plan.add(std::move(name), elementwise::make_softmax(plan.isa()), {input}, output);
}

void add_lrn(Program& plan, std::string name, int input, int output, int64_t size, float alpha, float beta, float k) {
  plan.add(std::move(name), elementwise::make_lrn({size, alpha, beta, k}, plan.isa()), {input}, output);
}

void add_copy(Program& plan, std::string name, int input, int output, Pair stride, int64_t top, int64_t left,
              int64_t front, int outside) {
  expect(plan.value(input).codes == (outside >= 0) && plan.value(output).codes == (outside >= 0), "floats for codes");
  plan.add(std::move(name), rearrange::make_copy(stride[0], stride[1], top, left, front, outside), {input}, output);
}

void add_channel_shuffle(Program& plan, std::string name, int input, int output, int64_t groups) {
  expect(groups >= 1 && plan.value(output).c % groups == 0, "groups do not divide the channels");
  plan.add(std::move(name), rearrange::make_channel_shuffle(groups, plan.value(input).codes), {input}, output);
}

void add_flatten_chw(Program& plan, std::string name, int input, int output) {
  plan.add(std::move(name), rearrange::make_flatten_chw(plan.value(input).codes), {input}, output);
}

}  // namespace

void bind_operators(nb::class_<Program>& program) {
  using namespace nb::literals;
  program.def("pool", &add_pool)
      .def("unary", &add_unary)
      .def("scale_shift", &add_scale_shift)
      .def("prelu", &add_prelu)
      .def("binary", &add_binary)
      .def("channel_mean", &add_channel_mean)
      .def("softmax", &add_softmax)
      .def("lrn", &add_lrn)
      .def("copy", &add_copy, "name"_a, "input"_a, "output"_a, "stride"_a, "top"_a, "left"_a, "front"_a, "outside"_a = -1)
      .def("channel_shuffle", &add_channel_shuffle)
      .def("flatten_chw", &add_flatten_chw);
}

}  // namespace paring
