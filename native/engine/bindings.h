// What the engine's bindings have in common. Shapes and attributes come from a graph that Python has validated; weights'
// sizes are checked here.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "engine/plan.h"

namespace paring {

namespace nb = nanobind;

using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
using Words = nb::ndarray<const uint16_t, nb::c_contig, nb::device::cpu>;
using Signed = nb::ndarray<const int8_t, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const int32_t, nb::c_contig, nb::device::cpu>;
using Pair = std::array<int64_t, 2>;
using Sides = std::array<int64_t, 4>;

inline void expect(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

template <class Array>
std::vector<int64_t> shape_of(const Array& array) {
  std::vector<int64_t> shape;
  for (std::size_t i = 0; i < array.ndim(); ++i) shape.push_back(static_cast<int64_t>(array.shape(i)));
  return shape;
}

// A plan with the sizes of the arrays it is run with.
class Program : public Plan {
 public:
  // Place, size and offset or number of each buffer.
  using Buffers = std::vector<std::tuple<std::string, int64_t, int64_t>>;

  Program(const Buffers& buffers, int64_t arena, const std::string& isa, int threads);
  void execute(nb::tuple inputs, nb::tuple outputs, int64_t n);

 private:
  std::vector<int64_t> inputs_, outputs_;
};

// Methods that add steps to a program: a node's name, the numbers of its values, then what the operator needs.
void bind_layers(nb::module_& m, nb::class_<Program>& program);
void bind_operators(nb::class_<Program>& program);
void bind_codes(nb::class_<Program>& program);

}  // namespace paring
