// Operators on each number by itself or within one pixel's channels.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/step.h"

namespace paring::elementwise {

enum class Unary { clip, leaky_relu, sigmoid, tanh, hard_sigmoid, hard_swish, silu, gelu, sign, absolute };
enum class Channelwise { scale_shift, prelu };
enum class Binary { add, mul };

struct Lrn {
  int64_t size;
  float alpha_over_size, beta, k;
};

// Each works on one run of n numbers; out may be the input.
struct Kernel {
  void (*unary)(Unary kind, const float* x, float* out, int64_t n, float a, float b);
  void (*channelwise)(Channelwise kind, const float* x, float* out, int64_t n, const float* a, const float* b);
  void (*binary)(Binary kind, const float* x, const float* y, float* out, int64_t n);
  void (*softmax)(const float* x, float* out, int64_t n);
  void (*lrn)(const Lrn& lrn, const float* x, float* out, int64_t n);
};

// a, b: clip's low and high, leaky_relu's slope.
std::unique_ptr<Step> make_unary(Unary kind, float a, float b, Isa isa);
// a, b: one number per channel; prelu has no b.
std::unique_ptr<Step> make_channelwise(Channelwise kind, std::vector<float> a, std::vector<float> b, Isa isa);
// Two inputs; the second is as large as the first or one number per image and channel.
std::unique_ptr<Step> make_binary(Binary kind, Isa isa);
std::unique_ptr<Step> make_softmax(Isa isa);
// Across channels; must not run in place.
std::unique_ptr<Step> make_lrn(const Lrn& lrn, Isa isa);

}  // namespace paring::elementwise
