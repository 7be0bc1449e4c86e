// A weight as the kernels' builders take it: its exact value, and its codes where it has a codebook.
#pragma once

#include <cstdint>
#include <vector>

namespace paring {

struct Weight {
  std::vector<int64_t> shape;   // as in the form: (out, in / groups, kh, kw) or (out, in)
  std::vector<float> values;    // every weight, C order
  std::vector<float> codebook;  // values by code, code 0 is zero; empty if the form has none
  std::vector<uint16_t> codes;  // every weight's code, C order; empty if the form has none

  int64_t size() const {
    int64_t n = 1;
    for (int64_t axis : shape) n *= axis;
    return n;
  }
  int64_t nonzeros() const {
    int64_t n = 0;
    for (float v : values) n += v != 0.0f;
    return n;
  }
};

}  // namespace paring
