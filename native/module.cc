// The one Python module of the native half; every part registers its own functions.
#include <nanobind/nanobind.h>

#include "released.h"

namespace nb = nanobind;

namespace paring {
void register_cluster(nb::module_& m);  // cluster/bindings.cc
void register_coding(nb::module_& m);  // coding/bindings.cc
void register_engine(nb::module_& m);  // engine/bindings.cc
}  // namespace paring

NB_MODULE(_native, m) {
  m.doc() = "Paring's native coders and engine; use paring.coding and paring.runtime instead.";
  nb::set_leak_warnings(false);  // what a daemon thread uses at the end is not freed, and that is no leak
  paring::register_end();
  nb::module_ cluster = m.def_submodule("cluster");
  nb::module_ coding = m.def_submodule("coding");
  nb::module_ engine = m.def_submodule("engine");
  paring::register_cluster(cluster);
  paring::register_coding(coding);
  paring::register_engine(engine);
}
