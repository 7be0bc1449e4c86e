// The interpreter's lock, given back while native code computes.
#pragma once

#include <nanobind/nanobind.h>

namespace paring {

// Unlike nanobind's own guard, this one does not abort the process when the interpreter ends while a daemon thread
// computes. Before 3.14 Python ends such a thread by unwinding its stack as soon as it asks for the lock, and a
// destructor may not be unwound. Here that thread sleeps instead, until the process is gone.
class Released {
 public:
  Released() : state_(PyEval_SaveThread()) {}
  ~Released();
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;

 private:
  PyThreadState* state_;
};

void register_end();  // Tells the guards when the interpreter begins to end.

}  // namespace paring
