#include "coding/logistic.h"

namespace paring::coding {

Tables::Tables() {
  // e = exp(-i / 256) in 1/2^31 by repeated multiplication; 4278222805 is round(2^32 exp(-1 / 256)).
  uint64_t e = uint64_t{1} << 31;
  for (size_t i = 0; i <= kLimit; ++i) {
    const uint64_t whole = (uint64_t{1} << 31) + e;
    const uint64_t p = std::min<uint64_t>(((uint64_t{1} << 47) + whole / 2) / whole, 65535);
    squash[kLimit + i] = static_cast<uint16_t>(p);
    squash[kLimit - i] = static_cast<uint16_t>(65536 - p);
    e = (e * 4278222805u + (uint64_t{1} << 31)) >> 32;
  }
  size_t x = 0;
  for (uint32_t i = 0; i < stretch.size(); ++i) {
    while (x < 2 * kLimit && squash[x] < 16 * i + 8) ++x;
    stretch[i] = static_cast<int16_t>(static_cast<int>(x) - kLimit);
  }
  for (uint32_t n = 0; n < rate.size(); ++n) {
    rate[n] = static_cast<uint16_t>(6553600 / (100 * n + 136));
    trust[n] = static_cast<uint16_t>(256 * (100 * n + 25) / (100 * n + 179));
  }
  reciprocal[0] = reciprocal[1] = 0xffffffffu;
  for (uint64_t n = 2; n < reciprocal.size(); ++n) reciprocal[n] = static_cast<uint32_t>((uint64_t{1} << 32) / n);
}

const Tables tables;

}  // namespace paring::coding
