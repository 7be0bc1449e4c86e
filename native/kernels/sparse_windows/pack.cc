#include "kernels/sparse_windows/sparse_windows.h"

#include <algorithm>
#include <numeric>

namespace paring::sparse_windows {

Windows::Windows(const Weight& weight) : outputs_(weight.shape[0]) {
  const int64_t inputs = weight.shape[1];
  const auto index = [&](int64_t o, int64_t k) { return static_cast<std::size_t>(o * inputs + k); };
  // Code 0 is zero and needs no place in the registers: a lane without an entry is marked as such.
  coded_ = !weight.codebook.empty() && static_cast<int64_t>(weight.codebook.size()) <= kBook + 1;
  book_.assign(kBook, 0.0f);
  if (coded_) std::copy(weight.codebook.begin() + 1, weight.codebook.end(), book_.begin());

  std::vector<int32_t> place(static_cast<std::size_t>(inputs), -1);
  std::vector<int64_t> counts(static_cast<std::size_t>(outputs_), 0);
  for (int64_t k = 0; k < inputs; ++k) {
    bool read = false;
    for (int64_t o = 0; o < outputs_; ++o) {
      const bool entry = weight.values[index(o, k)] != 0.0f;
      counts[static_cast<std::size_t>(o)] += entry;
      read |= entry;
    }
    if (!read) continue;
    place[static_cast<std::size_t>(k)] = static_cast<int32_t>(live_.size());
    live_.push_back(static_cast<int32_t>(k));
  }
  inputs_ = static_cast<int64_t>(live_.size());

  std::vector<int32_t> order(static_cast<std::size_t>(outputs_));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return counts[static_cast<std::size_t>(a)] > counts[static_cast<std::size_t>(b)];
  });
  lanes_.assign(static_cast<std::size_t>(groups() * kPanels * kLanes), -1);
  std::copy(order.begin(), order.end(), lanes_.begin());
  bias_.assign(lanes_.size(), 0.0f);

  for (int64_t g = 0; g < groups(); ++g) {
    const int64_t panels = std::min(kPanels, this->panels() - g * kPanels);
    std::vector<std::vector<Lane>> lanes(static_cast<std::size_t>(panels), std::vector<Lane>(kLanes));
    std::vector<std::vector<Chunk>> chunks;
    for (auto& panel : lanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const int32_t o = outputs_of(g)[(&panel - lanes.data()) * kLanes + lane];
        if (o < 0) continue;
        for (int32_t k : live_) {
          const std::size_t at = index(o, k);
          if (weight.values[at] == 0.0f) continue;
          const auto code = static_cast<uint16_t>(coded_ ? weight.codes[at] - 1 : 0);
          panel[static_cast<std::size_t>(lane)].push_back({place[static_cast<std::size_t>(k)], code, weight.values[at]});
        }
      }
      chunks.push_back(chunks_of(panel));
    }
    std::size_t longest = 0;
    for (const auto& list : chunks) longest = std::max(longest, list.size());
    spans_.push_back({static_cast<int64_t>(starts_.size()), static_cast<int64_t>(longest)});
    for (std::size_t c = 0; c < longest; ++c)
      for (const auto& list : chunks) append(c < list.size() ? &list[c] : nullptr);
  }
}

std::vector<Windows::Chunk> Windows::chunks_of(const std::vector<Lane>& lanes) {
  std::vector<Chunk> chunks;
  std::vector<std::size_t> next(lanes.size(), 0);
  for (;;) {
    int64_t start = -1;
    for (std::size_t i = 0; i < lanes.size(); ++i)
      if (next[i] < lanes[i].size() && (start < 0 || lanes[i][next[i]].input < start)) start = lanes[i][next[i]].input;
    if (start < 0) return chunks;
    int64_t end = start + kSpan;
    for (std::size_t i = 0; i < lanes.size(); ++i)
      if (next[i] + kSlots < lanes[i].size()) end = std::min<int64_t>(end, lanes[i][next[i] + kSlots].input);
    Chunk chunk{};
    chunk.start = static_cast<uint32_t>(start);
    for (std::size_t i = 0; i < lanes.size(); ++i)
      for (int64_t slot = 0; slot < kSlots && next[i] < lanes[i].size() && lanes[i][next[i]].input < end; ++slot)
        chunk.slots[slot][i] = &lanes[i][next[i]++];
    chunks.push_back(chunk);
  }
}

void Windows::append(const Chunk* chunk) {
  starts_.push_back(chunk == nullptr ? 0 : chunk->start);
  for (int64_t slot = 0; slot < kSlots; ++slot) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const Entry* entry = chunk == nullptr ? nullptr : chunk->slots[slot][lane];
      const auto input = entry == nullptr ? 0u : static_cast<unsigned>(entry->input) - chunk->start;
      if (coded_) {
        words_.push_back(static_cast<uint16_t>(entry == nullptr ? 0u : 1u << 15 | unsigned{entry->code} << 5 | input));
      } else {
        slots_.push_back(static_cast<uint8_t>(entry == nullptr ? 0u : 1u << 7 | input));
        values_.push_back(entry == nullptr ? 0.0f : entry->value);
      }
    }
  }
}

Windows::Group Windows::group(int64_t index) const {
  const Span& span = spans_[static_cast<std::size_t>(index)];
  const int64_t slots = span.first * kSlots * kLanes;
  return {std::min(kPanels, panels() - index * kPanels),
          span.chunks,
          coded_,
          starts_.data() + span.first,
          words_.data() + (coded_ ? slots : 0),
          slots_.data() + (coded_ ? 0 : slots),
          values_.data() + (coded_ ? 0 : slots),
          book_.data(),
          bias_.data() + index * kPanels * kLanes};
}

void Windows::set_bias(const float* bias) {
  for (std::size_t i = 0; i < lanes_.size(); ++i)
    if (lanes_[i] >= 0) bias_[i] = bias[lanes_[i]];
}

int64_t Windows::bytes() const {
  return static_cast<int64_t>(starts_.size() * 4 + words_.size() * 2 + slots_.size() + values_.size() * 4 +
                              live_.size() * 4 + lanes_.size() * 8 + book_.size() * 4);
}

}  // namespace paring::sparse_windows
