#include <nanobind/nanobind.h>

namespace paring {
void register_engine(nanobind::module_&) {}
}  // namespace paring
