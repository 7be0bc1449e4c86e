// libFuzzer over the native decoders: no byte string may make them read or write out of bounds, or not come back.
//
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Inative tests/fuzz/decoders.cc native/coding/logistic.cc -o fuzz_decoders
//   ./fuzz_decoders -max_len=4096 -max_total_time=600
//
// Without clang, -DPARING_STANDALONE makes a program that throws random bytes at the same function:
//
//   g++ -std=c++20 -g -O1 -fsanitize=address,undefined -DPARING_STANDALONE -Inative tests/fuzz/decoders.cc native/coding/logistic.cc -o fuzz_decoders
//   ./fuzz_decoders 20000
#include <cstdlib>

#include "coding/huffman.h"
#include "coding/session.h"

using namespace paring::coding;

namespace {

// Bytes that steer the calls; what is left of the input is the code.
struct Steering {
  const uint8_t* data;
  size_t size;
  uint32_t next(uint32_t most) {
    if (size == 0) return 0;
    --size;
    return *data++ % (most + 1);
  }
};

// Decodes a few arrays of any shape; what decodes to its end must encode to the same bytes.
void adaptive(Steering steering) {
  const uint32_t arrays = 1 + steering.next(3);
  std::vector<Axes> axes;
  std::vector<Alphabet> alphabets;
  for (uint32_t i = 0; i < arrays; ++i) {
    const bool flat = steering.next(1);
    const uint32_t width = flat ? 1 : 1 + steering.next(4);
    axes.push_back({1 + steering.next(9), 1 + steering.next(40), flat ? 1 : width * (1 + steering.next(4)), width});
    const uint32_t size = 1 + steering.next(255) * (steering.next(1) ? 255 : 1);
    alphabets.push_back({size, steering.next(255) % size});
  }
  Decoding decoding(steering.data, steering.size);
  for (uint32_t i = 0; i < arrays; ++i) {
    std::vector<uint16_t> values(axes[i].size());
    decoding.symbols(values.data(), axes[i], alphabets[i], Plan{});
    for (uint16_t value : values)
      if (value >= alphabets[i].size) std::abort();
    std::vector<uint32_t> numbers(steering.size % 17);
    decoding.numbers(numbers.data(), numbers.size(), false);
    std::vector<uint8_t> text(steering.size % 13);
    decoding.text(text.data(), text.size());
  }
  decoding.coder.finish();
}

void huffman(Steering steering) {
  std::vector<uint8_t> lengths(1 + steering.next(40));
  for (auto& length : lengths) length = static_cast<uint8_t>(steering.next(26));
  std::vector<uint8_t> out(steering.next(255));
  HuffmanTable(lengths.data(), lengths.size())
      .decode(steering.data, steering.size, steering.next(7), out.data(), out.size());
  for (uint8_t symbol : out)
    if (symbol >= lengths.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    Steering steering{data, size};
    steering.next(1) ? adaptive(steering) : huffman(steering);
  } catch (const CodeError&) {
  }
  return 0;
}

#ifdef PARING_STANDALONE
#include <cstdio>
#include <random>

int main(int count, char** arguments) {
  std::mt19937 random(1);
  const long runs = count > 1 ? std::atol(arguments[1]) : 20000;
  for (long run = 0; run < runs; ++run) {
    std::vector<uint8_t> data(random() % 300);
    for (auto& byte : data) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(data.data(), data.size());
  }
  std::printf("%ld inputs, no fault\n", runs);
}
#endif
