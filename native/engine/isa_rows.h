// The rows of instruction_sets.cmake that this build has, as constants: a row's bit and those of all rows it needs.
#pragma once

#include "engine/isa.h"

namespace paring::isa {

enum Place : uint32_t {
#define ISA(name, ...) name##_place,
#include "rows.inc"
};

#define ISA(name, needs, ...) inline constexpr Isa name = (needs) | Isa{uint32_t{1} << name##_place};
#include "rows.inc"

}  // namespace paring::isa
