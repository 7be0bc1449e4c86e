// Places where sorted values may be cut, and the cost of what lies between two of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "cluster/sorted.h"

namespace paring::cluster {

// Edges, and the bins between them: bin b holds the values from edge b to edge b + 1.
struct Grid {
  std::vector<size_t> at;        // edges as numbers of values below them: 0, ..., all
  std::vector<double> n, s, q;   // moments up to each edge
  std::vector<double> low, high; // smallest and largest value of each bin, from the shift

  template <class T>
  Grid(const Sorted<T>& values, std::vector<size_t> edges) : at(std::move(edges)) {
    n.reserve(at.size());
    s.reserve(at.size());
    q.reserve(at.size());
    for (size_t position : at) {
      const Moments m = values.moments(position);
      n.push_back(m.n);
      s.push_back(m.s);
      q.push_back(m.q);
    }
    for (size_t b = 0; b + 1 < at.size(); ++b) {
      low.push_back(values[at[b]] - values.shift());
      high.push_back(values[at[b + 1] - 1] - values.shift());
    }
  }

  size_t bins() const { return low.size(); }
  double width(size_t bin) const { return high[bin] - low[bin]; }

  // Squared deviation from their mean of the values between two edges; nothing between equal ones.
  double cost(size_t a, size_t b) const {
    const double count = n[b] - n[a], sum = s[b] - s[a];
    return std::max(0.0, q[b] - q[a] - sum * sum / std::max(count, 1.0));
  }
  double mean(size_t a, size_t b) const { return (s[b] - s[a]) / (n[b] - n[a]); }
};

// Edges between which one cut lies, both included.
struct Window {
  size_t first, last;
  size_t size() const { return last - first + 1; }
};

// One row of the dynamic program: for every `row` edge in [lo, hi) the least of eval(row, column) over the columns
// [first, last] that lie below (kForward) or above it. The best column does not fall as the row rises, because the cost
// satisfies the quadrangle inequality, so half the rows need half the columns (Wu 1991).
template <bool kForward, class Eval>
void fill(const Eval& eval, size_t lo, size_t hi, size_t first, size_t last, double* out) {
  while (lo < hi) {
    const size_t mid = lo + (hi - lo) / 2;
    const size_t from = kForward ? first : std::max(first, mid), to = kForward ? std::min(last, mid) : last;
    double least = std::numeric_limits<double>::infinity();
    size_t best = kForward ? first : last;
    for (size_t column = from; column <= to; ++column) {
      const double value = eval(mid, column);
      if (value < least) {
        least = value;
        best = column;
      }
    }
    out[mid] = least;
    fill<kForward>(eval, lo, mid, first, best, out);
    lo = mid + 1;
    first = best;
  }
}

}  // namespace paring::cluster
