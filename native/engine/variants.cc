#include "engine/variants.h"

#include "engine/isa_rows.h"

namespace paring {

#define KERNEL(name)  \
  namespace name {    \
  struct Kernel;      \
  }
#define VARIANT(name, set)             \
  namespace name {                     \
  extern const Kernel set##_kernel;    \
  }
#include "rows.inc"

namespace {

constexpr Variant kVariants[] = {
#define VARIANT(name, set) {#name, #set, isa::set, &name::set##_kernel},
#include "rows.inc"
};

constexpr const char* kKernels[] = {
#define KERNEL(name) #name,
#include "rows.inc"
};

}  // namespace

std::span<const Variant> variants() { return kVariants; }

const Variant* best_variant(std::string_view kernel, Isa isa) {
  const Variant* best = nullptr;
  for (const Variant& variant : kVariants)
    if (variant.kernel == kernel && isa.has(variant.needs)) best = &variant;
  return best;
}

#define KERNEL(name)                                                                      \
  template <>                                                                             \
  const name::Kernel* kernel_for<name::Kernel>(Isa isa) {                                 \
    const Variant* best = best_variant(#name, isa);                                       \
    return best == nullptr ? nullptr : static_cast<const name::Kernel*>(best->functions); \
  }
#include "rows.inc"

Isa live_isa(Isa isa) {
  Isa live = isa::scalar;
  for (const char* kernel : kKernels)
    if (const Variant* best = best_variant(kernel, isa)) live = live | best->needs;
  return live;
}

}  // namespace paring
