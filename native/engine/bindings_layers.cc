// Convolutions and fully connected layers of floats, from weights in their forms.
#include "engine/bindings.h"
#include "engine/weight.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv_transpose2d/conv_transpose2d.h"
#include "kernels/linear/linear.h"

namespace paring {
namespace {

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

void add_conv2d(Program& plan, std::string name, std::vector<int> inputs, int output, const Weight& weight, Floats bias,
                Pair stride, Sides padding, Pair dilation, int64_t groups, float low, float high, const std::string& sparse) {
  const Value &in = plan.value(inputs.at(0)), &out = plan.value(output);
  expect(weight.shape.size() == 4 && weight.shape[0] == out.c && weight.shape[1] * groups == in.c, "weight does not fit");
  const conv2d::Geometry g{in.h,      in.w,      in.c,        out.h,       out.w,      out.c,      weight.shape[2], weight.shape[3],
                           stride[0], stride[1], dilation[0], dilation[1], padding[0], padding[2], groups,    in.ld};
  const auto end = epilogue(bias, out.c, low, high, inputs.size() > 1);
  auto step = conv2d::make(g, weight, end, sparse_by_name(sparse), plan.isa());
  plan.add(std::move(name), std::move(step), std::move(inputs), output);
}

void add_conv_transpose2d(Program& plan, std::string name, int input, int output, const Weight& weight, Floats bias,
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

void add_linear(Program& plan, std::string name, std::vector<int> inputs, int output, const Weight& weight, Floats bias,
                float low, float high, const std::string& sparse) {
  const Value &in = plan.value(inputs.at(0)), &out = plan.value(output);
  expect(in.pixels() == 1 || in.ld == in.c, "input of a fully connected layer is not contiguous");
  expect(weight.shape.size() == 2 && weight.shape[0] == out.c && weight.shape[1] == in.h * in.w * in.c,
         "weight does not fit");
  const auto end = epilogue(bias, out.c, low, high, inputs.size() > 1);
  plan.add(std::move(name), linear::make(weight, end, sparse_by_name(sparse), plan.isa()), std::move(inputs), output);
}

}  // namespace

void bind_layers(nb::module_& m, nb::class_<Program>& program) {
  nb::class_<Weight>(m, "Weight")
      .def_static("dense", &dense)
      .def_static("codebook", &codebook<Bytes>)
      .def_static("codebook", &codebook<Words>);
  program.def("conv2d", &add_conv2d)
      .def("conv_transpose2d", &add_conv_transpose2d)
      .def("linear", &add_linear);
}

}  // namespace paring
