// The engine as paring.runtime._compile builds it and paring.runtime._engine runs it.
#include "engine/bindings.h"

#include "engine/variants.h"
#include "released.h"

namespace paring {
namespace {

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

std::vector<Buffer> buffers_of(const Program::Buffers& rows) {
  std::vector<Buffer> result;
  for (const auto& [place, size, offset] : rows)
    result.push_back({place == "arena" ? Place::arena : place == "input" ? Place::input : Place::output, size, offset});
  return result;
}

// The variants this processor can run: kernel and instruction set, of each kernel the better ones last.
std::vector<std::tuple<std::string, std::string>> usable_variants() {
  std::vector<std::tuple<std::string, std::string>> rows;
  for (const Variant& variant : variants())
    if (processor_isa().has(variant.needs)) rows.emplace_back(variant.kernel, variant.isa);
  return rows;
}

// The variant of a kernel that runs with these instruction sets, or nothing.
std::string variant_for(const std::string& kernel, const std::string& isa) {
  const Variant* best = best_variant(kernel, isa_by_name(isa));
  return best == nullptr ? "" : best->isa;
}

nb::list lines_of(const Program& program) {
  std::vector<Plan::Line> lines;
  {
    const Released released;  // It waits for a run.
    lines = program.lines();
  }
  nb::list rows;
  for (const auto& line : lines)
    rows.append(nb::make_tuple(line.name, line.kind, line.weight_bytes, line.seconds));
  return rows;
}

}  // namespace

Program::Program(const Buffers& buffers, int64_t arena, const std::string& isa, int threads)
    : Plan(buffers_of(buffers), arena, isa_by_name(isa), threads) {
  for (const auto& [place, size, number] : buffers) {
    auto& sizes = place == "input" ? inputs_ : outputs_;
    if (place == "arena") continue;
    expect(number == static_cast<int64_t>(sizes.size()), "inputs and outputs are not numbered in order");
    sizes.push_back(size);
  }
}

void Program::execute(nb::tuple inputs, nb::tuple outputs, int64_t n) {
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

void register_engine(nb::module_& m) {
  using namespace nb::literals;
  m.def("variants", &usable_variants);
  m.def("variant_for", &variant_for);
  m.def("best_isa", [] { return isa_name(live_isa(processor_isa())); });
  m.def("live_isa", [](const std::string& isa) { return isa_name(live_isa(isa_by_name(isa))); });

  nb::class_<Program> program(m, "Plan");
  program.def(nb::init<const Program::Buffers&, int64_t, const std::string&, int>())
      .def("value", [](Program& p, int buffer, int64_t offset, int64_t h, int64_t w, int64_t c, int64_t ld,
                       bool codes) { return p.add_value({buffer, offset, h, w, c, ld, codes}); },
           "buffer"_a, "offset"_a, "h"_a, "w"_a, "c"_a, "ld"_a, "codes"_a = false)
      .def("run", &Program::execute)
      .def("profile", &Program::profile, nb::call_guard<Released>())
      .def("chunk", &Program::chunk)
      .def("lines", &lines_of);
  bind_layers(m, program);
  bind_operators(program);
  bind_codes(program);
}

}  // namespace paring
