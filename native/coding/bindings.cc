#include <nanobind/nanobind.h>

namespace paring {
void register_coding(nanobind::module_&) {}
}  // namespace paring
