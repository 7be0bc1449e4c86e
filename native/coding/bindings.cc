#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "coding/arithmetic.h"
#include "coding/huffman.h"
#include "coding/numbers.h"
#include "coding/symbols.h"

namespace nb = nanobind;

namespace paring {
namespace {

using coding::Alphabet;
using coding::Geometry;

template <class Coder>
struct Session {
  Coder coder;
  coding::SymbolModel symbols;
  coding::NumberModel numbers;
  coding::ByteModel bytes;

  template <class... Args>
  explicit Session(Args... args) : coder(args...) {}
};

using Encoding = Session<coding::Encoder>;
using Decoding = Session<coding::Decoder>;

template <class T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

template <class S, class T>
void code_symbols(S& session, Array<T> values, uint32_t filters, uint32_t channels, uint32_t positions, uint32_t width,
                  uint32_t alphabet, uint32_t negatives) {
  const Geometry geometry{filters, channels, positions, width};
  if (values.size() != size_t{filters} * channels * positions || width == 0 || negatives >= alphabet)
    throw std::invalid_argument("geometry does not fit the array");
  nb::gil_scoped_release released;
  session.symbols.code(session.coder, const_cast<std::remove_const_t<T>*>(values.data()), geometry, Alphabet{alphabet, negatives});
}

template <class S, class T>
void code_numbers(S& session, Array<T> values) {
  nb::gil_scoped_release released;
  session.numbers.code(session.coder, const_cast<std::remove_const_t<T>*>(values.data()), values.size());
}

template <class S, class T>
void code_bytes(S& session, Array<T> values) {
  nb::gil_scoped_release released;
  session.bytes.code(session.coder, const_cast<std::remove_const_t<T>*>(values.data()), values.size());
}

// An encoder reads the arrays, a decoder fills them in.
template <class S, class T>
using Value = std::conditional_t<std::is_same_v<S, Encoding>, const T, T>;

template <class S>
void define(nb::class_<S>& type) {
  type.def("symbols", &code_symbols<S, Value<S, uint8_t>>)
      .def("symbols", &code_symbols<S, Value<S, uint16_t>>)
      .def("symbols", &code_symbols<S, Value<S, uint32_t>>)
      .def("numbers", &code_numbers<S, Value<S, uint16_t>>)
      .def("numbers", &code_numbers<S, Value<S, uint32_t>>)
      .def("bytes", &code_bytes<S, Value<S, uint8_t>>)
      .def_prop_ro("position", [](const S& s) { return s.coder.position(); });
}

template <class T>
size_t huffman_decode(Array<const uint8_t> lengths, nb::bytes data, size_t start, Array<T> out) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(data.c_str());
  const size_t size = data.size();
  nb::gil_scoped_release released;
  return coding::HuffmanTable(lengths.data(), lengths.size()).decode(bytes, size, start, out.data(), out.size());
}

template <class T>
nb::bytes huffman_encode(Array<const uint8_t> lengths, Array<const uint32_t> codes, Array<const T> values,
                         nb::bytes head, int used) {
  std::vector<uint8_t> bytes(head.c_str(), head.c_str() + head.size());
  {
    nb::gil_scoped_release released;
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
