#include "coding/logistic.h"

namespace paring::coding {

Tables::Tables() {
  // exp(-i / 256) in 1/2^31 by repeated multiplication; 4278222805 = round(2^32 exp(-1 / 256)).
  uint64_t e = uint64_t{1} << 31;
  for (int i = 0; i <= kLimit; ++i) {
    const uint64_t whole = (uint64_t{1} << 31) + e;
    const uint64_t p = ((uint64_t{1} << 47) + whole / 2) / whole;
    const uint64_t inside = std::min<uint64_t>(p, 65535);
    squash[static_cast<size_t>(kLimit + i)] = static_cast<uint16_t>(inside);
    squash[static_cast<size_t>(kLimit - i)] = static_cast<uint16_t>(65536 - inside);
    e = (e * 4278222805u + (uint64_t{1} << 31)) >> 32;
  }
  int x = -kLimit;
  for (uint32_t i = 0; i < 4096; ++i) {
    while (x < kLimit && squash[static_cast<size_t>(x + kLimit)] < 16 * i + 8) ++x;
    stretch[i] = static_cast<int16_t>(x);
  }
  for (uint32_t n = 0; n < 1024; ++n) rate[n] = static_cast<uint16_t>(65536 * 10 / (10 * n + 16));
}

const Tables tables;

}  // namespace paring::coding
