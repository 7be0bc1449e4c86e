// Products with a weight of which most entries are zero, from the non-zero ones alone.
//
// The input lies in planes: one run of memory per input (a channel of a map, or one input of a fully connected layer)
// over all positions (pixels, or examples of the batch). An output over 16 x `vectors` positions is then
//   sum over its entries of value * plane[offset + position],
// one broadcast and `vectors` multiply-adds an entry. An entry is a 32-bit offset and a value: a float, or an 8- or 16-bit
// code into the weight's codebook. The chain of additions goes through the inputs in order, whatever the tiling: the
// same bits for any batch and any number of threads.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/isa.h"
#include "engine/memory.h"
#include "engine/weight.h"

namespace paring::sparse {

enum class Code { value, byte, word };

// The non-zero weights, row by row (a row is an output), each row cut into the same number of blocks.
class Entries {
 public:
  struct Item {
    int64_t offset;
    int64_t index;  // into the weight
  };

  Entries() = default;
  Entries(const Weight& weight, int64_t blocks);

  // The next (row, block), in order. Throws std::invalid_argument if an offset does not fit 32 bits.
  void append(const std::vector<Item>& items);

  int64_t rows() const { return static_cast<int64_t>(starts_.size()) / blocks_; }
  int64_t blocks() const { return blocks_; }
  int64_t count() const { return static_cast<int64_t>(offsets_.size()); }
  int64_t bytes() const;

 private:
  friend struct Row;
  const Weight* weight_ = nullptr;  // while it is built
  int64_t blocks_ = 1;
  Code code_ = Code::value;
  std::vector<float> book_;
  std::vector<int64_t> starts_;
  std::vector<uint32_t> offsets_;
  std::vector<float> values_;
  std::vector<uint8_t> byte_codes_;
  std::vector<uint16_t> word_codes_;
};

// One row's block over some positions.
struct Row {
  Row(const Entries& entries, int64_t row, int64_t block);

  int64_t count;
  Code code;
  const uint32_t* offsets;
  const void* codes;
  const float* book;

  const float* planes;  // of the first position
  int64_t unit;         // floats per unit of offset
  float* sums;          // [16 x vectors], added to
  int64_t vectors;
};

struct Kernel {
  void (*row)(const Row& row);
  // Up to four rows over one position: rows[i].sums[0] is added to. `unit` is 1.
  void (*dot)(const Row* rows, int64_t count);
  // Sixteen rows of `count` sums, `stride` floats apart, to `count` pixels of `columns` (at most 16) channels.
  void (*finish)(const float* sums, int64_t stride, int64_t count, int64_t columns, float* out, int64_t ld,
                 const float* residual, int64_t residual_ld, float low, float high);
  // `count` pixels of `columns` (at most 16) channels to planes `stride` floats apart.
  void (*spread)(const float* in, int64_t ld, int64_t count, int64_t columns, float* planes, int64_t stride);
  int64_t max_vectors;
};
const Kernel& kernel(Isa isa);

}  // namespace paring::sparse
