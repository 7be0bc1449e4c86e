#include "kernels/integer_gemm/integer_gemm.h"

namespace paring::integer_gemm {

extern const Kernel scalar_kernel;
#if defined(__x86_64__)
extern const Kernel avx2_kernel;
extern const Kernel avx512_kernel;
extern const Kernel avx512vnni_kernel;
#endif

const Kernel& kernel(Isa isa) {
  static constexpr Variant<const Kernel*> table[] = {
      {Isa::scalar, &scalar_kernel},
#if defined(__x86_64__)
      {Isa::avx2, &avx2_kernel},
      {Isa::avx512, &avx512_kernel},
      {Isa::avx512vnni, &avx512vnni_kernel},
#endif
  };
  return *pick(table, isa);
}

}  // namespace paring::integer_gemm
