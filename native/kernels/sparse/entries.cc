#include <limits>
#include <stdexcept>

#include "kernels/sparse/sparse.h"

namespace paring::sparse {

Entries::Entries(const Weight& weight, int64_t blocks) : weight_(&weight), blocks_(blocks), book_(weight.codebook) {
  code_ = book_.empty() ? Code::value : book_.size() <= 256 ? Code::byte : Code::word;
}

void Entries::append(const std::vector<Item>& items) {
  starts_.push_back(count());
  for (const Item& item : items) {
    if (item.offset < 0 || item.offset > std::numeric_limits<uint32_t>::max())
      throw std::invalid_argument("offset does not fit 32 bits");
    offsets_.push_back(static_cast<uint32_t>(item.offset));
    const auto at = static_cast<std::size_t>(item.index);
    switch (code_) {
      case Code::value:
        values_.push_back(weight_->values[at]);
        break;
      case Code::byte:
        byte_codes_.push_back(static_cast<uint8_t>(weight_->codes[at]));
        break;
      case Code::word:
        word_codes_.push_back(weight_->codes[at]);
        break;
    }
  }
}

int64_t Entries::bytes() const {
  return static_cast<int64_t>(starts_.size() * 8 + offsets_.size() * 4 + values_.size() * 4 + byte_codes_.size() +
                              word_codes_.size() * 2 + book_.size() * 4);
}

Row::Row(const Entries& e, int64_t row, int64_t block) {
  const auto i = static_cast<std::size_t>(row * e.blocks_ + block);
  const int64_t first = e.starts_[i];
  count = (i + 1 < e.starts_.size() ? e.starts_[i + 1] : e.count()) - first;
  offsets = e.offsets_.data() + first;
  switch (e.code_) {
    case Code::value:
      codes = e.values_.data() + first;
      break;
    case Code::byte:
      codes = e.byte_codes_.data() + first;
      break;
    case Code::word:
      codes = e.word_codes_.data() + first;
      break;
  }
}

}  // namespace paring::sparse
