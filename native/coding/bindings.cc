#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "coding/arithmetic.h"
#include "coding/huffman.h"
#include "coding/session.h"
#include "released.h"

namespace nb = nanobind;

namespace paring {
namespace {

using coding::Alphabet;
using coding::Axes;
using coding::Decoding;
using coding::Encoding;
using coding::Plan;

template <class T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

// An encoder only reads the arrays; its code is the decoder's, which writes to them.
template <class S, class T>
using Element = std::conditional_t<std::is_same_v<S, Encoding>, const T, T>;
template <class T>
std::remove_const_t<T>* pointer(const Array<T>& array) {
  return const_cast<std::remove_const_t<T>*>(array.data());
}

template <class S, class T>
void code_symbols(S& session, Array<Element<S, T>> values, uint64_t filters, uint64_t channels, uint64_t positions,
                  uint64_t width, uint32_t alphabet, uint32_t negatives) {
  const Axes axes{filters, channels, positions, width};
  if (values.size() != axes.size() || width == 0 || alphabet == 0 || alphabet > 65536 || negatives >= alphabet)
    throw std::invalid_argument("axes or alphabet do not fit the array");
  const Alphabet a{alphabet, negatives};
  const Released released;
  Plan plan;
  if constexpr (std::is_same_v<S, Encoding>) {
    for (size_t i = 0; i < values.size(); ++i)
      if (values.data()[i] >= alphabet) throw std::invalid_argument("symbol is out of range");
    if (values.size() && alphabet > 1) plan = coding::choose_plan(session, pointer(values), axes, a);
  }
  session.symbols(pointer(values), axes, a, plan);
}

template <class S, class T>
void code_numbers(S& session, Array<Element<S, T>> values) {
  const Released released;
  bool stored = false;
  if constexpr (std::is_same_v<S, Encoding>) {
    const size_t tried = std::min<size_t>(values.size(), 1 << 16);
    Encoding learned = session.fork(), plain = session.fork();
    learned.numbers(pointer(values), tried, false);
    plain.numbers(pointer(values), tried, true);
    stored = plain.coder.finish().size() < learned.coder.finish().size();
  }
  session.numbers(pointer(values), values.size(), stored);
}

template <class S>
void code_text(S& session, Array<Element<S, uint8_t>> values) {
  const Released released;
  session.text(pointer(values), values.size());
}

template <class S>
void teach(S& session, Array<const uint8_t> values) {
  session.teach(pointer(values), values.size());
}

template <class S>
void define(nb::class_<S>& type) {
  type.def("symbols", &code_symbols<S, uint8_t>)
      .def("symbols", &code_symbols<S, uint16_t>)
      .def("numbers", &code_numbers<S, uint16_t>)
      .def("numbers", &code_numbers<S, uint32_t>)
      .def("text", &code_text<S>)
      .def("teach", &teach<S>)
      .def_prop_ro("position", [](const S& s) { return s.coder.position(); });
}

template <class T>
size_t huffman_decode(Array<const uint8_t> lengths, nb::bytes data, size_t start, Array<T> out) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data.c_str());
  const size_t size = data.size();
  const Released released;
  return coding::HuffmanTable(lengths.data(), lengths.size()).decode(bytes, size, start, out.data(), out.size());
}

template <class T>
nb::bytes huffman_encode(Array<const uint8_t> lengths, Array<const uint32_t> codes, Array<const T> values,
                         nb::bytes head, int used) {
  std::vector<uint8_t> bytes(head.c_str(), head.c_str() + head.size());
  {
    const Released released;
    for (size_t i = 0; i < values.size(); ++i)
      if (values.data()[i] >= lengths.size() || codes.size() != lengths.size())
        throw std::invalid_argument("symbol is out of range");
    coding::HuffmanTable::encode(lengths.data(), codes.data(), values.data(), values.size(), bytes, used);
  }
  return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

void register_coding(nb::module_& m) {
  nb::exception<coding::CodeError>(m, "CodeError", PyExc_ValueError);
  nb::class_<Encoding> encoder(m, "Encoder");
  encoder.def(nb::init<>()).def("finish", [](Encoding& e) {
    const auto bytes = e.coder.finish();
    return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  define(encoder);
  nb::class_<Decoding> decoder(m, "Decoder");
  decoder.def("__init__", [](Decoding* self, nb::bytes data) {
    new (self) Decoding(reinterpret_cast<const uint8_t*>(data.c_str()), data.size());
  }).def("finish", [](Decoding& d) { d.coder.finish(); });
  define(decoder);
  m.def("huffman_decode", &huffman_decode<uint8_t>);
  m.def("huffman_decode", &huffman_decode<uint16_t>);
  m.def("huffman_encode", &huffman_encode<uint8_t>);
  m.def("huffman_encode", &huffman_encode<uint16_t>);
}

}  // namespace paring
