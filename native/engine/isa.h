// Instruction sets the kernels are written for, from the oldest to the newest.
#pragma once

#include <string>

namespace paring {

enum class Isa { scalar, avx2, avx512, avx512vnni };

// The newest one that this processor and its operating system can run.
Isa best_isa();
const char* isa_name(Isa isa);
// By name; throws std::invalid_argument if unknown or newer than best_isa().
Isa isa_by_name(const std::string& name);

// A row of a kernel table: the function for one instruction set. Tables stand in the order of the enumeration; an
// instruction set without a function of its own uses the nearest older one.
template <class Function>
struct Variant {
  Isa isa;
  Function function;
};

template <class Function, int count>
Function pick(const Variant<Function> (&table)[count], Isa isa) {
  Function found = table[0].function;
  for (const auto& row : table)
    if (row.isa <= isa) found = row.function;
  return found;
}

}  // namespace paring
