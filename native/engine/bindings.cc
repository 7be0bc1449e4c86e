// The engine as paring.runtime._plan builds it and paring.runtime._engine runs it. Shapes and attributes come from a
// graph that Python has validated; weights' sizes are checked here.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>

#include "engine/plan.h"
#include "engine/weight.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv_transpose2d/conv_transpose2d.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/gemm/gemm.h"
#include "kernels/integer_conv2d/integer_conv2d.h"
#include "kernels/integer_depthwise/integer_depthwise.h"
#include "kernels/integer_elementwise/integer_elementwise.h"
#include "kernels/linear/linear.h"
#include "kernels/per_pixel/per_pixel.h"
#include "kernels/pool/pool.h"
#include "kernels/rearrange/rearrange.h"
#include "kernels/sparse/sparse.h"
#include "released.h"

namespace nb = nanobind;

namespace paring {
namespace {

using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
using Words = nb::ndarray<const uint16_t, nb::c_contig, nb::device::cpu>;
using Signed = nb::ndarray<const int8_t, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>;
using Pair = std::array<int64_t, 2>;
using Sides = std::array<int64_t, 4>;

void expect(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

template <class Array>
std::vector<int64_t> shape_of(const Array& array) {
  std::vector<int64_t> shape;
  for (std::size_t i = 0; i < array.ndim(); ++i) shape.push_back(static_cast<int64_t>(array.shape(i)));
  return shape;
}

Weight dense(Floats values) {
  Weight w;
  w.shape = shape_of(values);
  w.values.assign(values.data(), values.data() + values.size());
  return w;
}

template <class Codes>
Weight codebook(Floats centroids, Codes codes) {
  Weight w;
  w.shape = shape_of(codes);
  w.codebook.assign(1, 0.0f);
  w.codebook.insert(w.codebook.end(), centroids.data(), centroids.data() + centroids.size());
  w.codes.assign(codes.data(), codes.data() + codes.size());
  w.values.reserve(w.codes.size());
  for (uint16_t code : w.codes) {
    expect(code < w.codebook.size(), "index is out of range");
    w.values.push_back(w.codebook[code]);
  }
  return w;
}

conv2d::Epilogue epilogue(const Floats& bias, int64_t outputs, float low, float high, bool residual) {
  expect(bias.size() == 0 || static_cast<int64_t>(bias.size()) == outputs, "bias has the wrong length");
  return {bias.size() == 0 ? nullptr : bias.data(), low, high, residual};
}

conv2d::Sparse sparse_by_name(const std::string& name) {
  return name == "always" ? conv2d::Sparse::always : name == "never" ? conv2d::Sparse::never : conv2d::Sparse::automatic;
}

void add_conv2d(Plan& plan, std::string name, std::vector<int> inputs, int output, const Weight& weight, Floats bias,
                Pair stride, Sides padding, Pair dilation, int64_t groups, float low, float high, const std::string& sparse) {
  const Value &in = plan.value(inputs.at(0)), &out = plan.value(output);
  expect(weight.shape.size() == 4 && weight.shape[0] == out.c && weight.shape[1] * groups == in.c, "weight does not fit");
  const conv2d::Geometry g{in.h,      in.w,      in.c,        out.h,       out.w,      out.c,      weight.shape[2], weight.shape[3],
                           stride[0], stride[1], dilation[0], dilation[1], padding[0], padding[2], groups,    in.ld};
  const auto end = epilogue(bias, out.c, low, high, inputs.size() > 1);
  auto step = conv2d::make(g, weight, end, sparse_by_name(sparse), plan.isa());
  plan.add(std::move(name), std::move(step), std::move(inputs), output);
}

void add_conv_transpose2d(Plan& plan, std::string name, int input, int output, const Weight& weight, Floats bias,
                          Pair stride, Sides padding, Pair dilation, int64_t groups) {
  const Value &in = plan.value(input), &out = plan.value(output);
  expect(groups >= 1 && weight.shape.size() == 4 && weight.shape[0] == in.c && weight.shape[1] * groups == out.c,
         "weight does not fit");
  expect(bias.size() == 0 || static_cast<int64_t>(bias.size()) == out.c, "bias has the wrong length");
  const conv_transpose2d::Geometry g{in.c,      out.c,     weight.shape[2], weight.shape[3], stride[0],  stride[1],
                                     dilation[0], dilation[1], padding[0],    padding[2],      groups};
  std::vector<float> start(bias.data(), bias.data() + bias.size());
  plan.add(std::move(name), conv_transpose2d::make(g, weight, std::move(start)), {input}, output);
}

void add_linear(Plan& plan, std::string name, std::vector<int> inputs, int output, const Weight& weight, Floats bias,
                float low, float high, const std::string& sparse) {
  const Value &in = plan.value(inputs.at(0)), &out = plan.value(output);
  expect(in.pixels() == 1 || in.ld == in.c, "input of a fully connected layer is not contiguous");
  expect(weight.shape.size() == 2 && weight.shape[0] == out.c && weight.shape[1] == in.h * in.w * in.c,
         "weight does not fit");
  const auto end = epilogue(bias, out.c, low, high, inputs.size() > 1);
  plan.add(std::move(name), linear::make(weight, end, sparse_by_name(sparse), plan.isa()), std::move(inputs), output);
}

// Constants of a layer on codes; `output` is (zero point of the input, that of the output, low, high).
integer_conv2d::Layer integer_layer(const Signed& codes, const Integers& bias, const Floats& multipliers, int64_t outputs,
                                    const std::array<int32_t, 4>& output) {
  expect(static_cast<int64_t>(bias.size()) == outputs && static_cast<int64_t>(multipliers.size()) == outputs,
         "bias or multipliers have the wrong length");
  return {codes.data(), bias.data(), multipliers.data(), {output[0], output[1], output[2], output[3]}};
}

void add_integer_conv2d(Plan& plan, std::string name, int input, int output, Signed codes, Integers bias, Floats multipliers,
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

void add_integer_linear(Plan& plan, std::string name, int input, int output, Signed codes, Integers bias, Floats multipliers,
                        const std::array<int32_t, 4>& clamp) {
  const Value &in = plan.value(input), &out = plan.value(output);
  const auto shape = shape_of(codes);
  expect(in.pixels() == 1 || in.ld == in.c, "input of a fully connected layer is not contiguous");
  expect(in.codes && out.codes && shape.size() == 2 && shape[0] == out.c && shape[1] == in.pixels() * in.c,
         "weight does not fit");
  const auto layer = integer_layer(codes, bias, multipliers, out.c, clamp);
  plan.add(std::move(name), integer_conv2d::make_linear(shape[0], shape[1], layer, plan.isa()), {input}, output);
}

void add_pool(Plan& plan, std::string name, int input, int output, const std::string& kind, Pair kernel, Pair stride,
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

void add_unary(Plan& plan, std::string name, int input, int output, const std::string& kind, float a, float b) {
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

// The memory of a NumPy array the caller has checked: C-contiguous float32.
class Memory {
 public:
  Memory(nb::handle array, bool writable) {
    if (PyObject_GetBuffer(array.ptr(), &buffer_, PyBUF_SIMPLE | (writable ? PyBUF_WRITABLE : 0))) throw nb::python_error();
  }
  ~Memory() {
    if (buffer_.obj != nullptr) PyBuffer_Release(&buffer_);
  }
  Memory(Memory&& other) noexcept : buffer_(other.buffer_) { other.buffer_ = Py_buffer{}; }
  Memory& operator=(const Memory&) = delete;
  float* data() const { return static_cast<float*>(buffer_.buf); }
  int64_t floats() const { return buffer_.len / 4; }

 private:
  Py_buffer buffer_;
};

}  // namespace

// A plan with the sizes of the arrays it is run with.
class Program : public Plan {
 public:
  Program(const std::vector<std::tuple<std::string, int64_t, int64_t>>& buffers,
          int64_t arena, const std::string& isa, int threads)
      : Plan(buffers_of(buffers), arena, isa_by_name(isa), threads) {
    for (const auto& [place, size, number] : buffers) {
      auto& sizes = place == "input" ? inputs_ : outputs_;
      if (place == "arena") continue;
      expect(number == static_cast<int64_t>(sizes.size()), "inputs and outputs are not numbered in order");
      sizes.push_back(size);
    }
  }

  void execute(nb::tuple inputs, nb::tuple outputs, int64_t n) {
    expect(inputs.size() == inputs_.size() && outputs.size() == outputs_.size(), "wrong number of arrays");
    std::vector<Memory> held;
    held.reserve(inputs_.size() + outputs_.size());
    const auto hold = [&](nb::tuple arrays, const std::vector<int64_t>& sizes, bool writable) {
      std::vector<float*> data;
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        held.emplace_back(arrays[i], writable);
        expect(held.back().floats() == n * sizes[i], "array has the wrong size");
        data.push_back(held.back().data());
      }
      return data;
    };
    const std::vector<float*> in = hold(inputs, inputs_, false), out = hold(outputs, outputs_, true);
    const Released released;
    run(in, out, n);
  }

 private:
  static std::vector<Buffer> buffers_of(const std::vector<std::tuple<std::string, int64_t, int64_t>>& rows) {
    std::vector<Buffer> result;
    for (const auto& [place, size, offset] : rows)
      result.push_back({place == "arena" ? Place::arena : place == "input" ? Place::input : Place::output, size, offset});
    return result;
  }
  std::vector<int64_t> inputs_, outputs_;
};

void register_engine(nb::module_& m) {
  using namespace nb::literals;
  m.def("best_isa", [] { return std::string(isa_name(best_isa())); });

  m.def("tables", [] {
    nb::dict tables;
    const auto row = [&](const char* name, auto kernel) {
      nb::list isas;
      const void* last = nullptr;
      for (Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512vnni})
        if (const void* found = &kernel(isa); found != last) {
          isas.append(isa_name(isa));
          last = found;
        }
      tables[name] = isas;
    };
    row("gemm", gemm::kernel);
    row("depthwise", depthwise::kernel);
    row("sparse", sparse::kernel);
    row("pool", pool::kernel);
    row("elementwise", elementwise::kernel);
    row("integer_gemm", integer_gemm::kernel);
    row("integer_depthwise", integer_depthwise::kernel);
    row("integer_elementwise", integer_elementwise::kernel);
    return tables;
  });

  nb::class_<Weight>(m, "Weight")
      .def_static("dense", &dense)
      .def_static("codebook", &codebook<Bytes>)
      .def_static("codebook", &codebook<Words>);

  nb::class_<Program>(m, "Plan")
      .def(nb::init<const std::vector<std::tuple<std::string, int64_t, int64_t>>&, int64_t,
                    const std::string&, int>())
      .def("value", [](Program& p, int buffer, int64_t offset, int64_t h, int64_t w, int64_t c,
                       int64_t ld, bool codes) { return p.add_value({buffer, offset, h, w, c, ld, codes}); },
           "buffer"_a, "offset"_a, "h"_a, "w"_a, "c"_a, "ld"_a, "codes"_a = false)
      .def("conv2d", [](Program& p, std::string name, std::vector<int> in, int out, const Weight& w, Floats bias, Pair stride,
                        Sides padding, Pair dilation, int64_t groups, float low, float high, std::string sparse) {
        add_conv2d(p, name, in, out, w, bias, stride, padding, dilation, groups, low, high, sparse);
      })
      .def("linear", [](Program& p, std::string name, std::vector<int> in, int out, const Weight& w, Floats bias, float low, float high,
                        std::string sparse) { add_linear(p, name, in, out, w, bias, low, high, sparse); })
      .def("pool", [](Program& p, std::string name, int in, int out, std::string kind, Pair kernel, Pair stride,
                      Sides padding, Pair dilation,
                      bool count) { add_pool(p, name, in, out, kind, kernel, stride, padding, dilation, count); })
      .def("unary", [](Program& p, std::string name, int in, int out, std::string kind, float a,
                       float b) { add_unary(p, name, in, out, kind, a, b); })
      .def("scale_shift",
           [](Program& p, std::string name, int in, int out, Floats scale, Floats shift) {
             const int64_t c = p.value(in).c;
             p.add(name, elementwise::make_channelwise(elementwise::Channelwise::scale_shift, floats(scale, c), floats(shift, c), p.isa()), {in}, out);
           })
      .def("prelu",
           [](Program& p, std::string name, int in, int out, Floats slope) {
             p.add(name, elementwise::make_channelwise(elementwise::Channelwise::prelu, floats(slope, p.value(in).c), {}, p.isa()), {in}, out);
           })
      .def("binary",
           [](Program& p, std::string name, std::vector<int> in, int out, std::string kind) {
             const auto binary = kind == "add" ? elementwise::Binary::add : elementwise::Binary::mul;
             expect(in.size() == 2, "needs two inputs");
             const Value &first = p.value(in[0]), &second = p.value(in[1]);
             const bool each_pixel = second.c == 1 && first.c > 1 && second.pixels() == first.pixels();
             p.add(name, each_pixel ? per_pixel::make_binary(binary) : elementwise::make_binary(binary, p.isa()), in, out);
           })
      .def("channel_mean",
           [](Program& p, std::string name, int in, int out) { p.add(name, per_pixel::make_mean(), {in}, out); })
      .def("conv_transpose2d",
           [](Program& p, std::string name, int in, int out, const Weight& w, Floats bias, Pair stride, Sides padding,
              Pair dilation, int64_t groups) {
             add_conv_transpose2d(p, name, in, out, w, bias, stride, padding, dilation, groups);
           })
      .def("integer_conv2d",
           [](Program& p, std::string name, int in, int out, Signed codes, Integers bias, Floats m, Pair stride, Sides padding,
              Pair dilation, int64_t groups, std::array<int32_t, 4> clamp) {
             add_integer_conv2d(p, name, in, out, codes, bias, m, stride, padding, dilation, groups, clamp);
           })
      .def("integer_linear",
           [](Program& p, std::string name, int in, int out, Signed codes, Integers bias, Floats m,
              std::array<int32_t, 4> clamp) { add_integer_linear(p, name, in, out, codes, bias, m, clamp); })
      .def("quantize",
           [](Program& p, std::string name, int in, int out, float scale, std::array<int32_t, 3> clamp) {
             p.add(name, integer_elementwise::make_quantize(scale, {clamp[0], clamp[1], clamp[2]}, p.isa()), {in}, out);
           })
      .def("dequantize",
           [](Program& p, std::string name, int in, int out, float scale, int32_t zero) {
             p.add(name, integer_elementwise::make_dequantize(scale, zero, p.isa()), {in}, out);
           })
      .def("integer_add",
           [](Program& p, std::string name, std::vector<int> in, int out, std::array<int32_t, 2> zeros,
              std::array<float, 2> m, std::array<int32_t, 3> clamp) {
             expect(in.size() == 2, "needs two inputs");
             p.add(name, integer_elementwise::make_add({zeros[0], m[0]}, {zeros[1], m[1]}, {clamp[0], clamp[1], clamp[2]}, p.isa()), in, out);
           })
      .def("lookup",
           [](Program& p, std::string name, int in, int out, Bytes table) {
             expect(table.size() == 256, "table is not 256 codes long");
             std::array<uint8_t, 256> copied;
             std::copy_n(table.data(), 256, copied.begin());
             p.add(name, integer_elementwise::make_table(copied), {in}, out);
           })
      .def("integer_mean",
           [](Program& p, std::string name, int in, int out, std::array<double, 2> scales, int32_t zero,
              std::array<int32_t, 3> clamp, bool global, Pair kernel, Pair stride, Sides padding, bool count) {
             const integer_elementwise::Mean mean{scales[0], scales[1], zero, {clamp[0], clamp[1], clamp[2]}};
             const pool::Axis y{kernel[0], stride[0], 1, padding[0], padding[1]}, x{kernel[1], stride[1], 1, padding[2], padding[3]};
             auto step = global ? integer_elementwise::make_global_mean(mean, p.isa())
                                : integer_elementwise::make_mean(y, x, count, mean, p.isa());
             p.add(name, std::move(step), {in}, out);
           })
      .def("softmax", [](Program& p, std::string name, int in,
                         int out) { p.add(name, elementwise::make_softmax(p.isa()), {in}, out); })
      .def("lrn",
           [](Program& p, std::string name, int in, int out, int64_t size, float alpha, float beta, float k) {
             p.add(name, elementwise::make_lrn({size, alpha, beta, k}, p.isa()), {in}, out);
           })
      .def("copy",
           [](Program& p, std::string name, int in, int out, Pair stride, int64_t top, int64_t left, int64_t front,
              int outside) {
             expect(p.value(in).codes == (outside >= 0) && p.value(out).codes == (outside >= 0), "floats for codes");
             p.add(name, rearrange::make_copy(stride[0], stride[1], top, left, front, outside), {in}, out);
           },
           "name"_a, "input"_a, "output"_a, "stride"_a, "top"_a, "left"_a, "front"_a, "outside"_a = -1)
      .def("channel_shuffle",
           [](Program& p, std::string name, int in, int out, int64_t groups) {
             expect(groups >= 1 && p.value(out).c % groups == 0, "groups do not divide the channels");
             p.add(name, rearrange::make_channel_shuffle(groups, p.value(in).codes), {in}, out);
           })
      .def("flatten_chw",
           [](Program& p, std::string name, int in, int out) { p.add(name, rearrange::make_flatten_chw(p.value(in).codes), {in}, out); })
      .def("run", &Program::execute)
      .def("profile", [](Program& p, bool on) { p.profile(on); })
      .def("chunk", [](const Program& p, int64_t n) { return p.chunk(n); })
      .def("lines", [](const Program& p) {
        nb::list rows;
        for (const auto& line : p.lines()) rows.append(nb::make_tuple(line.name, line.kind, line.weight_bytes, line.seconds));
        return rows;
      });
}

}  // namespace paring
