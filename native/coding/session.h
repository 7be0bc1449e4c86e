// One code over any number of arrays: the coder with everything it has learned so far.
#pragma once

#include <optional>
#include <utility>

#include "coding/arithmetic.h"
#include "coding/labels.h"
#include "coding/numbers.h"
#include "coding/symbols.h"
#include "coding/text.h"

namespace paring::coding {

// How an array of symbols is coded; the encoder is free to choose.
struct Plan {
  enum Model : uint32_t { kNeighbors, kLabels, kStored };
  uint32_t model = kNeighbors;
  uint32_t width = 0;  // of the image that a flat weight's inputs are, 2 .. 64; 0 for none
};

// Axes of a weight: (out, in / groups, positions, width).
struct Axes {
  uint64_t filters, channels, positions, width;

  bool flat() const { return positions == 1; }
  uint64_t size() const { return filters * channels * positions; }
  Geometry geometry(const Plan& plan) const {
    if (!flat()) return {filters, channels, positions, width, false};
    return {filters, 1, channels, plan.width ? plan.width : channels, true};
  }
};

template <class Coder>
class Session {
 public:
  Coder coder;

  template <class... Args>
  explicit Session(Args&&... args) : coder(std::forward<Args>(args)...) {}

  // Codes an array; `plan` is written or, by a decoder, read.
  template <class T>
  void symbols(T* values, const Axes& axes, const Alphabet& a, Plan plan) {
    if (axes.size() == 0 || a.size == 1) return;
    const bool other = flag(plan.model != Plan::kNeighbors, 0);
    const bool stored = other && flag(plan.model != Plan::kLabels, 1);
    plan.model = stored ? Plan::kStored : other ? Plan::kLabels : Plan::kNeighbors;
    const Geometry bare = axes.geometry({});
    if (plan.model == Plan::kStored) return code_stored(coder, values, axes.size(), a.size);
    if (plan.model == Plan::kLabels) return made(labels_).code(coder, values, bare, a);
    if (axes.flat() && axes.filters > 1) {
      const bool image = flag(plan.width != 0, 2);
      plan.width = image ? code_plain(coder, plan.width - 1, 6) + 1 : 0;
      if (image && plan.width < 2) throw CodeError("image is too narrow");
    } else {
      plan.width = 0;
    }
    made(symbols_).code(coder, values, axes.geometry(plan), a);
  }

  template <class T>
  void numbers(T* values, size_t count, bool stored) {
    if (count) made(numbers_).code(coder, values, count, stored);
  }
  // The same knowledge of symbols and numbers before an empty code.
  Session fork() const {
    Session out;
    out.flags_ = flags_;
    out.symbols_ = symbols_;
    out.labels_ = labels_;
    out.numbers_ = numbers_;
    return out;
  }
  void text(uint8_t* bytes, size_t count) { made(text_).code(coder, bytes, count); }
  void teach(uint8_t* bytes, size_t count) {
    Teacher teacher;
    made(text_).code(teacher, bytes, count);
  }

 private:
  template <class Model>
  static Model& made(std::optional<Model>& model) {
    return model ? *model : model.emplace();
  }
  uint32_t flag(bool bit, size_t which) {
    Counter& counter = flags_[which];
    bit = coder.code(bit, counter.probability());
    counter.update(bit, 255);
    return bit;
  }

  std::array<Counter, 3> flags_;
  std::optional<SymbolModel> symbols_;
  std::optional<LabelModel> labels_;
  std::optional<NumberModel> numbers_;
  std::optional<TextModel> text_;
};

using Encoding = Session<Encoder>;
using Decoding = Session<Decoder>;

// The plan that makes an array of at least one symbol smallest, judged by its first filters.
template <class T>
Plan choose_plan(const Encoding& session, T* values, const Axes& axes, const Alphabet& a) {
  constexpr uint64_t kTried = 1 << 17;
  Axes sample = axes;
  const uint64_t row = axes.channels * axes.positions;
  sample.filters = std::clamp<uint64_t>(kTried / row, 1, axes.filters);
  if (sample.filters == 1) sample.channels = std::clamp<uint64_t>(kTried / axes.positions, 1, axes.channels);
  const auto cost = [&](const Plan& plan) {
    Encoding trial = session.fork();
    trial.symbols(values, sample, a, plan);
    return trial.coder.finish().size();
  };
  Plan best;
  size_t least = cost(best);
  const auto consider = [&](const Plan& plan) {
    if (const size_t bytes = cost(plan); bytes < least) {
      least = bytes;
      best = plan;
    }
  };
  if (axes.flat() && axes.filters > 1)
    for (uint32_t width = 2; width <= 64 && uint64_t{width} * width <= axes.channels; ++width)
      if (axes.channels % (uint64_t{width} * width) == 0) consider({Plan::kNeighbors, width});
  consider({Plan::kStored, 0});
  if (a.size > 4) consider({Plan::kLabels, 0});
  return best;
}

}  // namespace paring::coding
