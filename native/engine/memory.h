// Memory aligned to cache lines, uninitialized until asked otherwise, with room to read a vector past its end.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace paring {

constexpr int64_t kAlignment = 64;

template <class T>
class Aligned {
 public:
  Aligned() = default;
  explicit Aligned(int64_t count) { reset(count); }
  Aligned(Aligned&& other) noexcept { *this = std::move(other); }
  Aligned& operator=(Aligned&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Aligned() { std::free(data_); }

  // Forgets the contents. Throws std::bad_alloc.
  void reset(int64_t count) {
    std::free(data_);
    data_ = nullptr;
    count_ = 0;
    if (count < 0 || count > (int64_t{1} << 46) / static_cast<int64_t>(sizeof(T))) throw std::bad_alloc();
    const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(T) / kAlignment + 2) * kAlignment;
    data_ = static_cast<T*>(std::aligned_alloc(kAlignment, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
    count_ = count;
  }
  void grow(int64_t count) {
    if (count > count_ || data_ == nullptr) reset(count);
  }
  void clear() { std::memset(static_cast<void*>(data_), 0, static_cast<std::size_t>(count_) * sizeof(T)); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace paring
