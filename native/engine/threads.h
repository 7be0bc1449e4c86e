// A few threads that split a loop among them. Which thread runs a task never changes what the task computes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace paring {

class Threads {
 public:
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(index, worker) for index in [0, tasks), worker in [0, count()); returns when all are done. Only one
  // call at a time; an exception of any task is thrown again here.
  template <class Task>
  void run(int64_t tasks, Task&& task) {
    if (workers_.empty() || tasks <= 1 || forked()) {
      for (int64_t i = 0; i < tasks; ++i) task(i, 0);
      return;
    }
    using Plain = std::remove_reference_t<Task>;
    start(tasks, [](void* self, int64_t i, int worker) { (*static_cast<Plain*>(self))(i, worker); },
          const_cast<void*>(static_cast<const void*>(&task)));
  }

 private:
  using Call = void (*)(void*, int64_t, int);
  void start(int64_t tasks, Call call, void* self);
  void work(int worker);
  void serve(int worker);
  bool forked() const;  // In a forked child the other threads do not exist; it does all the work itself.

  std::vector<std::thread> workers_;
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<uint64_t> round_{0};
  std::atomic<bool> stop_{false};
  int owner_ = 0;
  int64_t tasks_ = 0;
  Call call_ = nullptr;
  void* self_ = nullptr;
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace paring
