#include "cluster/kmeans.h"

#include <stdexcept>
#include <thread>

#include "cluster/grid.h"

namespace paring::cluster {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
class Search {
 public:
  Search(const Sorted<T>& values, size_t k, size_t most) : values_(values), k_(k), most_(most) {
    const Moments all = values.moments(values.size());
    slack_ = 8 * std::numeric_limits<double>::epsilon() * static_cast<double>(k) * all.q;
  }

  // Every distinct value may be cut off: the dynamic program itself.
  Clustering over_all(std::vector<size_t> starts) {
    const Grid grid(values_, std::move(starts));
    std::vector<Window> windows(k_ + 1, Window{0, grid.bins()});
    windows.front().last = 0;
    windows.back().first = grid.bins();
    const std::vector<double> credit(grid.at.size(), 0.0);
    std::vector<std::vector<double>> rows;
    forward(grid, windows, credit, rows);
    keep(cuts_of(grid, windows, rows));
    best_.bound = rows[k_][0];
    return best_;
  }

  Clustering by_narrowing() {
    keep(quantiles());
    for (int round = 0; round < 100; ++round) improve();
    Grid grid(values_, first_edges());
    // No cluster of an optimum is empty, so the first and the last value are never cut from nothing.
    std::vector<Window> windows(k_ + 1, Window{1, grid.bins() - 1});
    windows.front() = {0, 0};
    windows.back() = {grid.bins(), grid.bins()};
    std::vector<double> reach = first_reach(grid);
    while (true) {
      const std::vector<double> credit = credits(grid, reach);
      std::vector<std::vector<double>> ahead, behind;
      std::thread other([&] { forward(grid, windows, credit, ahead); });
      backward(grid, windows, credit, behind);
      other.join();
      best_.bound = std::max(best_.bound, ahead[k_][0]);
      keep(cuts_of(grid, windows, ahead));
      if (finished(grid, windows)) return best_;
      for (int round = 0; round < 20; ++round) improve();
      const auto ranges = narrowed(grid, windows, ahead, behind);
      ahead.clear();
      behind.clear();
      if (!refine(grid, windows, ranges)) {
        for (int round = 0; round < 1000; ++round) improve();
        return best_;
      }
      reach = reach_of(grid, windows);
    }
  }

 private:
  using Range = std::pair<size_t, size_t>;  // positions between which a cut lies

  // ----- clusterings that are known

  // Takes these cuts (positions, 0 and all included) if they cost less than the best so far.
  void keep(const std::vector<size_t>& cuts) {
    Clustering found;
    Moments before = values_.moments(0);
    for (size_t j = 1; j < cuts.size(); ++j) {
      const Moments m = values_.moments(cuts[j]);
      const double n = m.n - before.n, s = m.s - before.s;
      if (n == 0) continue;
      found.cost += std::max(0.0, m.q - before.q - s * s / n);
      found.centroids.push_back(s / n + values_.shift());
      before = m;
    }
    found.bound = best_.bound;
    if (found.cost < upper_) {
      upper_ = found.cost;
      best_ = std::move(found);
    }
  }
  // One of Lloyd's steps.
  void improve() {
    std::vector<size_t> cuts{0};
    const auto& c = best_.centroids;
    for (size_t j = 1; j < c.size(); ++j) cuts.push_back(std::max(cuts.back(), values_.up_to((c[j - 1] + c[j]) / 2)));
    cuts.push_back(values_.size());
    keep(cuts);
  }
  std::vector<size_t> quantiles() const {
    std::vector<size_t> cuts;
    for (size_t j = 0; j <= k_; ++j) cuts.push_back(part(j, k_));
    return cuts;
  }
  size_t part(size_t j, size_t of) const {
    return static_cast<size_t>(static_cast<unsigned __int128>(values_.size()) * j / of);
  }

  // ----- the dynamic program, from both ends

  // rows[j][a]: least credited cost of j clusters that end at edge a, the credit of a included.
  void forward(const Grid& grid, const std::vector<Window>& windows, const std::vector<double>& credit,
               std::vector<std::vector<double>>& rows) const {
    rows.assign(k_ + 1, {});
    rows[0] = {0.0};
    for (size_t j = 1; j <= k_; ++j) {
      const Window to = windows[j], from = windows[j - 1];
      const double* before = rows[j - 1].data() - from.first;
      const auto eval = [&](size_t a, size_t m) { return before[m] + grid.cost(m, a); };
      rows[j].resize(to.size());
      fill<true>(eval, to.first, to.last + 1, from.first, from.last, rows[j].data() - to.first);
      if (j < k_)
        for (size_t a = to.first; a <= to.last; ++a) rows[j][a - to.first] -= credit[a];
    }
  }
  // rows[j][a]: least credited cost of the clusters after the j-th, which begin at edge a, the credit of a left out.
  void backward(const Grid& grid, const std::vector<Window>& windows, const std::vector<double>& credit,
                std::vector<std::vector<double>>& rows) const {
    rows.assign(k_ + 1, {});
    rows[k_] = {0.0};
    std::vector<double> credited{0.0};
    for (size_t j = k_; j-- > 0;) {
      const Window to = windows[j], from = windows[j + 1];
      const double* after = credited.data() - from.first;
      const auto eval = [&](size_t a, size_t b) { return after[b] + grid.cost(a, b); };
      rows[j].resize(to.size());
      fill<false>(eval, to.first, to.last + 1, from.first, from.last, rows[j].data() - to.first);
      credited = rows[j];
      for (size_t a = to.first; a <= to.last; ++a) credited[a - to.first] -= credit[a];
    }
  }
  // The positions of the cuts of the best clustering of `forward`.
  std::vector<size_t> cuts_of(const Grid& grid, const std::vector<Window>& windows,
                              const std::vector<std::vector<double>>& rows) const {
    std::vector<size_t> cuts{values_.size()};
    size_t a = grid.bins();
    for (size_t j = k_; j-- > 0;) {
      const Window from = windows[j];
      double least = kInfinity;
      size_t best = from.first;
      for (size_t m = from.first; m <= std::min(from.last, a); ++m) {
        const double value = rows[j][m - from.first] + grid.cost(m, a);
        if (value < least) {
          least = value;
          best = m;
        }
      }
      a = best;
      cuts.push_back(grid.at[a]);
    }
    std::reverse(cuts.begin(), cuts.end());
    return cuts;
  }

  // ----- credits

  // What moving cuts to an edge may cost, from how far apart the centroids around a cut in a bin can be.
  std::vector<double> credits(const Grid& grid, const std::vector<double>& reach) const {
    std::vector<double> credit(grid.at.size(), 0.0);
    for (size_t b = 0; b < grid.bins(); ++b) {
      if (reach[b] <= 0) continue;  // no cut can be here
      const double w = grid.width(b), count = grid.n[b + 1] - grid.n[b];
      const double moved = count * w * std::max(reach[b] / 2, 4 * w);
      credit[b] += moved;
      credit[b + 1] += moved;
    }
    return credit;
  }
  // Before there are windows: the values between the two centroids alone must not cost more than the upper bound.
  std::vector<double> first_reach(const Grid& grid) const {
    std::vector<double> reach(grid.bins());
    for (size_t b = 0; b < grid.bins(); ++b) {
      double fits = 0, too_far = 2 * (grid.high.back() - grid.low.front());
      for (int step = 0; step < 24; ++step) {
        const double middle = (fits + too_far) / 2;
        (between(grid, b, middle) <= upper_ ? fits : too_far) = middle;
      }
      reach[b] = too_far;
    }
    return reach;
  }
  // At least what the values outside bin b cost that lie between two centroids so far apart, with a cut in b.
  static double between(const Grid& grid, size_t b, double apart) {
    const auto around = [&](size_t first, size_t last, double c) {
      const double n = grid.n[last] - grid.n[first], s = grid.s[last] - grid.s[first];
      return grid.q[last] - grid.q[first] - 2 * c * s + n * c * c;
    };
    const double left = grid.high[b] - apart / 2, right = grid.low[b] + apart / 2;
    const auto low = grid.low.begin(), high = grid.high.begin();
    const auto first = static_cast<size_t>(std::lower_bound(low, low + static_cast<ptrdiff_t>(b), left) - low);
    const auto last = static_cast<size_t>(std::upper_bound(high + static_cast<ptrdiff_t>(b), grid.high.end(), right) - high);
    return (first < b ? around(first, b, left) : 0) + (b + 1 < last ? around(b + 1, last, right) : 0);
  }
  // The mean of a run of sorted values rises with both its ends, so windows bound every centroid.
  std::vector<double> reach_of(const Grid& grid, const std::vector<Window>& windows) const {
    std::vector<double> reach(grid.bins(), 0.0);
    for (size_t j = 1; j < k_; ++j) {
      const size_t a = windows[j - 1].first, b = windows[j].first, c = windows[j].last, d = windows[j + 1].last;
      const double lowest = a < b ? grid.mean(a, b) : grid.low[a];
      const double highest = c < d ? grid.mean(c, d) : grid.high[d - 1];
      for (size_t bin = b; bin < c; ++bin) reach[bin] = std::max(reach[bin], highest - lowest);
    }
    return reach;
  }

  // ----- grids

  // Half of the edges at equal counts, half at equal distances, so that no bin is both full and wide.
  std::vector<size_t> first_edges() const {
    const size_t half = std::clamp<size_t>(most_ / (2 * k_), k_, size_t{1} << 16);
    const double low = values_[0], high = values_[values_.size() - 1];
    std::vector<size_t> edges{0, 1, values_.size() - 1, values_.size()};
    for (size_t i = 1; i < half; ++i) {
      edges.push_back(part(i, half));
      edges.push_back(values_.up_to(low + (high - low) * static_cast<double>(i) / static_cast<double>(half)));
    }
    std::sort(edges.begin(), edges.end());
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    return edges;
  }
  // Whether all bins that may be cut hold a single value, so that nothing was credited.
  static bool finished(const Grid& grid, const std::vector<Window>& windows) {
    for (const Window& window : windows)
      for (size_t b = window.first; b < window.last; ++b)
        if (grid.width(b) > 0) return false;
    return true;
  }
  // Between which positions each cut of an optimum lies.
  std::vector<Range> narrowed(const Grid& grid, const std::vector<Window>& windows,
                              const std::vector<std::vector<double>>& ahead,
                              const std::vector<std::vector<double>>& behind) const {
    std::vector<Range> ranges;
    for (size_t j = 0; j <= k_; ++j) {
      const Window window = windows[j];
      size_t first = window.last, last = window.first;
      for (size_t a = window.first; a <= window.last; ++a)
        if (ahead[j][a - window.first] + behind[j][a - window.first] <= upper_ + slack_) {
          first = std::min(first, a);
          last = a;
        }
      if (first > last) std::swap(first, last);  // cannot be but for rounding: give nothing away
      // An edge stands for the bins on both its sides.
      if (first > window.first && grid.width(first - 1) > 0) --first;
      if (last < window.last && grid.width(last) > 0) ++last;
      ranges.emplace_back(grid.at[first], grid.at[last]);
    }
    return ranges;
  }
  // A finer grid within the ranges and none between; false if that would be too many edges.
  bool refine(Grid& grid, std::vector<Window>& windows, const std::vector<Range>& ranges) const {
    size_t entries = 0;
    std::vector<size_t> edges;  // the old ones within ranges, bins marked where they are to be split
    std::vector<bool> inside(grid.bins(), false);
    const auto index = [](const std::vector<size_t>& at, size_t position) {
      return static_cast<size_t>(std::lower_bound(at.begin(), at.end(), position) - at.begin());
    };
    for (const auto& [from, to] : ranges) {
      const size_t first = index(grid.at, from), last = index(grid.at, to);
      entries += last - first + 1;
      for (size_t b = first; b < last; ++b) inside[b] = true;
      edges.push_back(from);
      edges.push_back(to);
    }
    const size_t pieces = std::min<size_t>(most_ / entries, 16);
    if (pieces < 2) return false;
    for (size_t b = 0; b < grid.bins(); ++b) {
      if (!inside[b]) continue;
      const size_t from = grid.at[b], count = grid.at[b + 1] - from;
      edges.push_back(from);
      if (grid.width(b) <= 0) continue;
      for (size_t i = 1; i < std::min(pieces, count); ++i) edges.push_back(from + count * i / std::min(pieces, count));
    }
    std::sort(edges.begin(), edges.end());
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    grid = Grid(values_, std::move(edges));
    for (size_t j = 0; j <= k_; ++j)
      windows[j] = {index(grid.at, ranges[j].first), index(grid.at, ranges[j].second)};
    return true;
  }

  const Sorted<T>& values_;
  const size_t k_, most_;
  double slack_, upper_ = kInfinity;
  Clustering best_;
};

}  // namespace

template <class T>
Clustering kmeans(std::vector<T> list, size_t k, size_t most) {
  const Sorted<T> values(std::move(list));
  std::vector<size_t> starts = values.distinct(std::max(k, 2 * most / k));
  if (!starts.empty() && starts.size() <= k + 1) {
    Clustering out;
    for (size_t i = 0; i + 1 < starts.size(); ++i) out.centroids.push_back(values[starts[i]]);
    return out;
  }
  Search<T> search(values, k, most);
  if (!starts.empty()) return search.over_all(std::move(starts));
  if (k == 1) return search.over_all({0, values.size()});
  if (most / k < 4 * k) throw std::invalid_argument("too many clusters of too many values");
  return search.by_narrowing();
}

template Clustering kmeans<float>(std::vector<float>, size_t, size_t);
template Clustering kmeans<double>(std::vector<double>, size_t, size_t);

}  // namespace paring::cluster
