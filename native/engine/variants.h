// The kernels and their variants for instruction sets, from the rows of kernels/kernels.cmake.
#pragma once

#include <span>
#include <string_view>

#include "engine/isa.h"

namespace paring {

struct Variant {
  const char* kernel;     // folder and namespace
  const char* isa;        // the row of instruction_sets.cmake it is compiled for
  Isa needs;              // that and all it needs
  const void* functions;  // the kernel's own struct Kernel
};

// All of this build; of each kernel the better ones last.
std::span<const Variant> variants();

// The best one that these instruction sets can run, or null.
const Variant* best_variant(std::string_view kernel, Isa isa);

// Its functions: kernel_for<gemm::Kernel>(isa); null if the kernel has no variant for any of them.
template <class Kernel>
const Kernel* kernel_for(Isa isa);

// The instruction sets that the best variants for `isa` make use of.
Isa live_isa(Isa isa);

}  // namespace paring
