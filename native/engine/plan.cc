#include "engine/plan.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <stdexcept>

namespace paring {
namespace {

// Floats of arena that a chunk of a batch may fill: what a core's second-level cache and its share of the third hold.
constexpr int64_t kChunkFloats = int64_t{1} << 19;
constexpr int64_t kLargestChunk = 64;

}  // namespace

// All plans of the process, for the child of a fork. There the threads of their states do not exist, and one that was in
// a run has left memory half changed and mutexes locked. So the child gives each plan a new state and lets go of the old
// one without destroying it: to join or wake those threads would never end.
class LivePlans {
 public:
  static LivePlans& all() {
    static LivePlans* plans = new LivePlans;  // Never destroyed: threads may run plans while the process exits.
    return *plans;
  }
  void add(Plan* plan) {
    std::lock_guard lock(mutex_);
    plans_.insert(plan);
  }
  void remove(Plan* plan) {
    std::lock_guard lock(mutex_);
    plans_.erase(plan);
  }

 private:
  LivePlans() {
    pthread_atfork([] { all().mutex_.lock(); }, [] { all().mutex_.unlock(); }, [] { all().renew(); });
  }
  void renew() {
    for (Plan* plan : plans_) {
      Plan::State* old = plan->state_.release();
      plan->state_ = std::make_unique<Plan::State>(old->threads.count());
    }
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::set<Plan*> plans_;
};

Plan::State::State(int count) : threads(count) {
  for (int i = 0; i < (count > 1 ? count + 1 : 1); ++i) {
    lanes.push_back(std::make_unique<Lane>(i == 0 ? &threads : nullptr));
    lanes.back()->views.reserve(8);
  }
}

Plan::Plan(std::vector<Buffer> buffers, int64_t arena, Isa isa, int threads)
    : buffers_(std::move(buffers)), arena_(arena), isa_(isa), state_(std::make_unique<State>(threads)) {
  for (const Buffer& b : buffers_)
    if (b.place == Place::arena && (b.offset < 0 || b.offset % 16 || b.size < 0 || b.offset + b.size > arena_))
      throw std::invalid_argument("buffer does not fit the arena");
  LivePlans::all().add(this);
}

Plan::~Plan() { LivePlans::all().remove(this); }

int Plan::add_value(const Value& v) {
  if (v.buffer < 0 || v.buffer >= static_cast<int32_t>(buffers_.size())) throw std::invalid_argument("no such buffer");
  const int64_t size = buffers_[static_cast<std::size_t>(v.buffer)].size;
  const int64_t elements = v.h * v.w * v.ld, floats = v.codes ? (elements + 3) / 4 : elements;
  if (v.h < 1 || v.w < 1 || v.c < 1 || v.offset < 0 || v.offset + v.c > v.ld || floats != size)
    throw std::invalid_argument("value does not fit its buffer");
  values_.push_back(v);
  return static_cast<int>(values_.size()) - 1;
}

const Value& Plan::value(int index) const {
  if (index < 0 || index >= static_cast<int>(values_.size())) throw std::invalid_argument("no such value");
  return values_[static_cast<std::size_t>(index)];
}

void Plan::add(std::string name, std::unique_ptr<Step> step, std::vector<int> inputs, int output) {
  for (int input : inputs) value(input);
  value(output);
  steps_.push_back({std::move(name), std::move(step), std::move(inputs), output, 0});
}

int64_t Plan::chunk(int64_t n) const {
  const int64_t most = arena_ == 0 ? kLargestChunk : kChunkFloats / arena_;
  const int64_t size = std::clamp<int64_t>(most, 1, kLargestChunk);
  const int64_t pieces = (n + size - 1) / size;
  return pieces == 0 ? 1 : (n + pieces - 1) / pieces;
}

void Plan::run(const std::vector<float*>& inputs, const std::vector<float*>& outputs, int64_t n) {
  State& state = *state_;
  std::lock_guard lock(state.mutex);
  const int64_t workers = state.threads.count();
  // A batch that feeds every thread is split among them, and each runs the whole network on its part: no waiting
  // between steps. Otherwise all work on one step at a time.
  if (workers > 1 && !profile_ && n >= workers && (n % workers == 0 || n >= 4 * workers)) {
    state.threads.run(workers, [&](int64_t i, int) {
      run_range(*state.lanes[static_cast<std::size_t>(i) + 1], inputs, outputs, n * i / workers, n * (i + 1) / workers);
    });
    return;
  }
  run_range(*state.lanes[0], inputs, outputs, 0, n);
}

void Plan::run_range(Lane& lane, const std::vector<float*>& inputs, const std::vector<float*>& outputs, int64_t begin,
                     int64_t end) {
  using Clock = std::chrono::steady_clock;
  const int64_t size = chunk(end - begin);
  lane.arena.grow(arena_ * size);
  const auto view = [&](int index, int64_t at, int64_t n) {
    const Value& v = values_[static_cast<std::size_t>(index)];
    const Buffer& b = buffers_[static_cast<std::size_t>(v.buffer)];
    float* base = b.place == Place::arena    ? lane.arena.data() + b.offset * n
                  : b.place == Place::input ? inputs[static_cast<std::size_t>(b.offset)] + b.size * at
                                            : outputs[static_cast<std::size_t>(b.offset)] + b.size * at;
    if (v.codes) return View{nullptr, n, v.h, v.w, v.c, v.ld, reinterpret_cast<uint8_t*>(base) + v.offset};
    return View{base + v.offset, n, v.h, v.w, v.c, v.ld};
  };
  for (int64_t at = begin; at < end; at += size) {
    const int64_t n = std::min(size, end - at);
    for (Entry& entry : steps_) {
      const auto start = profile_ ? Clock::now() : Clock::time_point();
      lane.views.clear();
      for (int input : entry.inputs) lane.views.push_back(view(input, at, n));
      entry.step->run(lane.views.data(), view(entry.output, at, n), lane.runner);
      if (profile_) entry.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    }
  }
}

std::vector<Plan::Line> Plan::lines() const {
  std::lock_guard lock(state_->mutex);
  std::vector<Line> result;
  for (const Entry& entry : steps_)
    result.push_back({entry.name, entry.step->kind(), entry.step->weight_bytes(), entry.seconds});
  return result;
}

void Plan::profile(bool on) {
  std::lock_guard lock(state_->mutex);
  profile_ = on;
  if (on)
    for (Entry& entry : steps_) entry.seconds = 0;
}

}  // namespace paring
