#include "engine/isa.h"

#include <sstream>
#include <stdexcept>

#include "engine/isa_rows.h"

// Whether the processor reports a feature of a row.
#if defined(__x86_64__)
#define PARING_REPORTS(feature) __builtin_cpu_supports(#feature)
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define PARING_REPORTS(feature) (getauxval(AT_HWCAP) & HWCAP_##feature) != 0
#else
#define PARING_REPORTS(feature) false
#endif

namespace paring {
namespace {

struct Row {
  const char* name;
  Isa with_needs;
};

constexpr Row kRows[] = {
#define ISA(name, ...) {#name, isa::name},
#include "rows.inc"
};

Isa find_processor_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  Isa found;
#define ISA(name, needs, reported) \
  if (found.has(needs) && (reported)) found = found | isa::name;
#include "rows.inc"
  return found;
}

}  // namespace

Isa processor_isa() {
  static const Isa found = find_processor_isa();
  return found;
}

std::string isa_name(Isa isa) {
  std::string names;
  for (const Row& row : kRows) {
    if (!isa.has(row.with_needs)) continue;
    bool needed = false;
    for (const Row& other : kRows)
      needed |= other.name != row.name && isa.has(other.with_needs) && other.with_needs.has(row.with_needs);
    if (!needed) names.append(names.empty() ? "" : "+").append(row.name);
  }
  return names;
}

Isa isa_by_name(const std::string& name) {
  Isa isa = isa::scalar;
  std::istringstream words(name);
  for (std::string word; std::getline(words, word, '+');) {
    const Row* found = nullptr;
    for (const Row& row : kRows)
      if (word == row.name) found = &row;
    if (found == nullptr || !processor_isa().has(found->with_needs))
      throw std::invalid_argument("no instruction set " + word + " here");
    isa = isa | found->with_needs;
  }
  return isa;
}

}  // namespace paring
