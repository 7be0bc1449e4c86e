// Depthwise convolution of codes: every channel has one kernel of its own.
//
// Taps are pointers, so that one outside the image points to zero points and no sum depends on where a pixel is.
#pragma once

#include <cstdint>


namespace paring::integer_depthwise {

// Neighboring output pixels, all channels.
struct Pixels {
  const uint8_t* const* taps;  // [pixel][tap]: channel 0 of what the pixel sees there
  // taps_each is a multiple of the kernel's `taps`; there are no weights where the layer has no tap.
  int64_t pixels, taps_each, channels;
  const int32_t* weights;    // [channel / 16][tap / taps][16]: one or two numbers of 16 bits, the first one lowest
  const int32_t* start;      // [channel], padded to 16 like all below
  const float* multipliers;  // [channel]
  uint8_t* out;
  int64_t ld;
  float low, high;  // minus the zero point
  int32_t zero;
};

struct Kernel {
  void (*run)(const Pixels& pixels);
  int64_t taps;  // multiplied at once: 1 or 2
};

}  // namespace paring::integer_depthwise
