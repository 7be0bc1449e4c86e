#include "released.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace nb = nanobind;
using namespace std::chrono_literals;

namespace paring {
namespace {

constexpr auto kStep = 1ms;
constexpr int kPatience = 1000;  // steps

std::atomic<bool> ending{false};
std::atomic<int> asking{0};  // threads that ask for the lock
std::thread::id last;        // the thread that ends the interpreter; written before `ending`

// One of Python's exit functions. Soon after them the interpreter gives its lock to no other thread. Threads that wait
// for the lock now still get it.
void interpreter_ends() {
  last = std::this_thread::get_id();
  ending = true;
  PyThreadState* state = PyEval_SaveThread();
  while (asking > 0) std::this_thread::sleep_for(kStep);
  PyEval_RestoreThread(state);
}

}  // namespace

Released::~Released() {
  for (int step = 0;; ++step) {
    ++asking;
    if (!ending || std::this_thread::get_id() == last) break;
    // An exit function that runs later may wait for this thread, so patience ends.
    if (step == kPatience && Py_IsInitialized()) break;
    --asking;
    do {
      std::this_thread::sleep_for(kStep);
    } while (!Py_IsInitialized());
  }
  PyEval_RestoreThread(state_);
  --asking;
}

void register_end() {
  pthread_atfork(nullptr, nullptr, [] { asking = 0; });  // the threads that asked do not exist in a child
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&interpreter_ends));
}

}  // namespace paring
