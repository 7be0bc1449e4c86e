#include "engine/threads.h"

namespace paring {
namespace {

// How long a thread looks for work, or for the others to finish, before it sleeps or gives its processor away: about
// as long as a small layer runs, so that the layers of one network do not pay for waking.
constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Threads::~Threads() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    ++round_;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Threads::start(int64_t tasks, Call call, void* self) {
  while (static_cast<int>(workers_.size()) < count_ - 1) {
    const int worker = static_cast<int>(workers_.size()) + 1;
    workers_.emplace_back([this, worker, seen = round_.load(std::memory_order_relaxed)] { serve(worker, seen); });
  }
  tasks_ = tasks;
  call_ = call;
  self_ = self;
  error_ = nullptr;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  for (int spin = 0; busy_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (error_) std::rethrow_exception(error_);
}

void Threads::work(int worker) {
  try {
    for (;;) {
      const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= tasks_) return;
      call_(self_, i, worker);
    }
  } catch (...) {
    std::lock_guard lock(mutex_);
    error_ = std::current_exception();
  }
}

void Threads::serve(int worker, uint64_t seen) {
  for (;;) {
    for (int spin = 0; round_.load(std::memory_order_acquire) == seen && spin < kSpins; ++spin) pause();
    if (round_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
    }
    seen = round_.load(std::memory_order_acquire);
    if (stop_) return;
    work(worker);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace paring
