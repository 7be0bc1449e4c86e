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

  Code code() const { return code_; }
  const float* book() const { return book_.data(); }
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

// One row's block.
struct Row {
  Row() = default;
  Row(const Entries& entries, int64_t row, int64_t block);

  int64_t count;
  const uint32_t* offsets;
  const void* codes;
  float* sums;  // [16 x vectors], added to
};

// Some rows over the same positions.
struct Rows {
  Code code;
  const float* book;
  const float* planes;  // of the first position
  int64_t unit;         // floats per unit of offset
  int64_t vectors;
  const Row* rows;
  int64_t count;
};

// Copies of lines, each time from a little further: for channel c < channels, line j < lines, row y < rows, x < length
//   to[c * to_channel + j * to_line + y * length + x] = from[c * from_channel + y * from_row + j * shift + x].
struct Shift {
  const float* from;
  float* to;
  int64_t channels, lines, rows, length, shift, from_channel, from_row, to_channel, to_line;
};

struct Kernel {
  // As many rows as `together` allows for their vectors.
  void (*rows)(const Rows& rows);
  // Up to four rows over one position; `unit` is 1.
  void (*dot)(const Rows& rows);
  // Sixteen rows of `count` sums, `stride` floats apart, to `count` pixels of `columns` (at most 16) channels.
  void (*finish)(const float* sums, int64_t stride, int64_t count, int64_t columns, float* out, int64_t ld,
                 const float* residual, int64_t residual_ld, float low, float high);
  // `count` pixels of `columns` (at most 16) channels to planes `stride` floats apart.
  void (*spread)(const float* in, int64_t ld, int64_t count, int64_t columns, float* planes, int64_t stride);
  void (*shift)(const Shift& shift);
  int64_t max_vectors;

  // Rows side by side, so that each has enough sums in flight: 1, 2 or 4.
  int64_t together(int64_t vectors) const {
    return vectors * 4 <= max_vectors ? 4 : vectors * 2 <= max_vectors ? 2 : 1;
  }
  // Any number of rows.
  void run(Rows all) const {
    const int64_t most = together(all.vectors), count = all.count;
    for (int64_t i = 0; i < count; i += all.count, all.rows += all.count) {
      all.count = count - i < most ? 1 : most;
      rows(all);
    }
  }
};

}  // namespace paring::sparse
