#include "kernels/linear/linear.h"

namespace paring::linear {
namespace {

// A dense weight is read whole for every example or small batch; a non-zero one costs about this many times as much.
// docs/reference/engine.md says where the factor comes from.
constexpr double kSparseCost = 4.0;

}  // namespace

std::unique_ptr<Step> make(const Weight& weight, const Epilogue& end, Sparse sparse, Isa isa) {
  const double density = static_cast<double>(weight.nonzeros()) / static_cast<double>(weight.size());
  const bool wins = density * kSparseCost < 1.0;
  if (sparse == Sparse::always || (sparse == Sparse::automatic && wins)) return make_sparse(weight, end, isa);
  return make_gemm(weight, end, isa);
}

}  // namespace paring::linear
