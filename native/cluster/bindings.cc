#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <thread>

#include "cluster/kmeans.h"
#include "released.h"

namespace nb = nanobind;

namespace paring {
namespace {

template <class T>
using Array = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Writes the centroids to `out`; how many, their cost and what no clustering can undercut.
template <class T>
nb::tuple kmeans(Array<const T> values, Array<double> out, size_t most) {
  cluster::Clustering found;
  const T* first = values.data();
  const size_t count = values.size(), k = out.size();
  if (count == 0 || k == 0) throw std::invalid_argument("no values or no clusters");
  {
    const Released released;
    found = cluster::kmeans(std::vector<T>(first, first + count), k, most);
    std::copy(found.centroids.begin(), found.centroids.end(), out.data());
  }
  return nb::make_tuple(found.centroids.size(), found.cost, found.bound);
}

// out[i]: how many of the ascending `bounds` are below values[i].
template <class T>
void assign(Array<const T> values, Array<const double> bounds, Array<uint16_t> out, size_t threads) {
  if (values.size() != out.size() || bounds.size() > 65535) throw std::invalid_argument("arrays do not fit");
  const T* value = values.data();
  const double* bound = bounds.data();
  uint16_t* symbol = out.data();
  const size_t count = values.size(), k = bounds.size();
  const Released released;
  const auto work = [=](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) {
      const double v = value[i];
      size_t base = 0, left = k;
      while (left > 0) {
        const size_t half = (left + 1) / 2;
        base += bound[base + half - 1] < v ? half : 0;
        left -= half;
      }
      symbol[i] = static_cast<uint16_t>(base);
    }
  };
  threads = std::clamp<size_t>(threads, 1, count / 65536 + 1);
  std::vector<std::thread> others;
  for (size_t t = 1; t < threads; ++t) others.emplace_back(work, count * t / threads, count * (t + 1) / threads);
  work(0, count / threads);
  for (std::thread& other : others) other.join();
}

}  // namespace

void register_cluster(nb::module_& m) {
  m.def("kmeans", &kmeans<float>);
  m.def("kmeans", &kmeans<double>);
  m.def("assign", &assign<float>);
  m.def("assign", &assign<double>);
}

}  // namespace paring
