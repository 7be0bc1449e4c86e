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

// The threads start with the first loop that has work for them.
class Threads {
 public:
  explicit Threads(int count) : count_(count < 1 ? 1 : count) {}
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Calls task(index, worker) for index in [0, tasks), worker in [0, count()); returns when all are done. Only one
  // call at a time; an exception of any task is thrown again here.
  template <class Task>
  void run(int64_t tasks, Task&& task) {
    if (count_ == 1 || tasks <= 1) {
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
  void serve(int worker, uint64_t seen);  // `seen`: rounds that began before this thread

  const int count_;
  std::vector<std::thread> workers_;
  std::atomic<int64_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<uint64_t> round_{0};
  std::atomic<bool> stop_{false};
  int64_t tasks_ = 0;
  Call call_ = nullptr;
  void* self_ = nullptr;
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace paring
