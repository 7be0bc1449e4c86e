// Which instruction sets a processor has or a plan may use, as bits: one for each row of instruction_sets.cmake.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace paring {

struct Isa {
  uint32_t bits = 0;

  bool has(Isa other) const { return (bits & other.bits) == other.bits; }
};
constexpr Isa operator|(Isa a, Isa b) { return {a.bits | b.bits}; }

// All that this processor and its operating system can run.
Isa processor_isa();
// Rows by name, joined by "+": those that no other of the set needs.
std::string isa_name(Isa isa);
// Rows by name, joined by "+", and all they need; throws std::invalid_argument if one is unknown or not here.
Isa isa_by_name(const std::string& name);

}  // namespace paring
