// One-dimensional k-means with the least cost there is, by narrowing down where the cuts of an optimum can be.
//
// The clusters of an optimum are runs of the sorted values, so k - 1 cuts are sought. A dynamic program over all
// values would take n k log n steps; here it runs over a grid of edges, and what the grid leaves out is accounted for:
//
//   Take an optimum, with centroids c_1 < ... < c_k, and move every cut to an edge of the bin it lies in, all values
//   of the bin to one side. With the centroids left where they are, this costs at most P = n w D / 2 for a bin of n
//   values and width w that holds one cut, D being the distance of the centroids on either side (of the two sides one
//   is that cheap: the difference in cost of a value is 2 D times its distance from the cut), and 4 n w^2 for a bin
//   that holds several (the left one of its centroids is then at most w below it).
//
// So with every edge credited with the P of its two bins, the best grid clustering costs no more than the optimum: a
// lower bound. A clustering that is known gives an upper bound U. An edge through which every grid clustering costs
// more than U, credits included, is not where the optimum's cut was moved to. What is left are k - 1 windows; within
// them the grid is made finer and the same begins anew, until all bins in windows are single values. Then the credits
// are zero, and the best grid clustering is the optimum. D is bounded by U at first, by the windows afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paring::cluster {

struct Clustering {
  std::vector<double> centroids;  // ascending; as many as there are distinct values, if those are fewer than asked for
  double cost = 0;                // sum of squared distances
  double bound = 0;               // no clustering costs less; short of the cost by rounding, or if `most` was too few
};

// Clusters `values` (not empty, all finite) into `k`; `most` entries of the dynamic program, 16 bytes each, are kept.
template <class T>
Clustering kmeans(std::vector<T> values, size_t k, size_t most);

extern template Clustering kmeans<float>(std::vector<float>, size_t, size_t);
extern template Clustering kmeans<double>(std::vector<double>, size_t, size_t);

}  // namespace paring::cluster
