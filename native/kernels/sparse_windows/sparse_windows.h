// A sparse matrix times one vector, with the vector's entries looked up in registers.
//
// Sixteen outputs make a panel, a lane each; outputs with alike numbers of entries stand together. A panel is a list of
// chunks. A chunk starts at some input and sees a window of 32 of them, which two registers hold; it has four slots, in
// each of which every lane may take one entry: its input by a permutation of the window and its value by a permutation
// of the codebook (32 values in two registers) or as a float. A chunk ends where a lane finds a fifth entry, so nothing
// branches on the data. Lanes take their entries in order: the same chain of additions as in sparse.h.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/weight.h"

namespace paring::sparse_windows {

class Windows {
 public:
  static constexpr int64_t kLanes = 16, kSpan = 32, kSlots = 4, kPanels = 4, kBook = 32;

  Windows() = default;
  explicit Windows(const Weight& weight);

  int64_t outputs() const { return outputs_; }
  int64_t panels() const { return (outputs() + kLanes - 1) / kLanes; }
  // Up to four panels are computed side by side.
  int64_t groups() const { return (panels() + kPanels - 1) / kPanels; }
  int64_t bytes() const;

  // The inputs that some weight reads, ascending; empty if all are.
  const std::vector<int32_t>& live() const { return live_; }
  // Floats of the vector a group wants: live inputs and as much again as a window may see behind them.
  int64_t padded_inputs() const { return inputs_ + kSpan; }

  struct Group {
    int64_t panels, chunks;
    bool coded;
    const uint32_t* starts;  // [chunk][panel]
    const uint16_t* words;   // coded: [chunk][panel][slot][lane], 15: taken, 5 to 9: code, 0 to 4: input
    const uint8_t* inputs;   // else: [chunk][panel][slot][lane], 7: taken, 0 to 4: input
    const float* values;     // else: [chunk][panel][slot][lane]
    const float* book;       // [32]
    const float* bias;       // [panel][lane]
  };
  Group group(int64_t index) const;
  // Which output each lane of the group is; -1 for none.
  const int32_t* outputs_of(int64_t group) const { return lanes_.data() + group * kPanels * kLanes; }
  // Sets the value every output starts from.
  void set_bias(const float* bias);

 private:
  struct Entry {
    int32_t input;
    uint16_t code;
    float value;
  };
  using Lane = std::vector<Entry>;
  // One chunk of one panel: where its window starts, and each slot's entry for each lane or null.
  struct Chunk {
    uint32_t start;
    const Entry* slots[kSlots][kLanes];
  };
  struct Span {
    int64_t first, chunks;  // counted in chunks of one panel
  };
  static std::vector<Chunk> chunks_of(const std::vector<Lane>& lanes);
  void append(const Chunk* chunk);

  bool coded_ = false;
  int64_t inputs_ = 0, outputs_ = 0;
  std::vector<int32_t> live_, lanes_;
  std::vector<Span> spans_;
  std::vector<uint32_t> starts_;
  std::vector<uint16_t> words_;
  std::vector<uint8_t> slots_;
  std::vector<float> values_, book_, bias_;
};

// Only instruction sets with such permutations have one.
struct Kernel {
  // x: the live inputs, padded; sums: [panel][lane], written.
  void (*run)(const Windows::Group& group, const float* x, float* sums);
};

}  // namespace paring::sparse_windows
