#include "kernels/sparse/sparse.h"
#include "kernels/sparse/windows.h"

namespace paring::sparse {

extern const Kernel scalar_kernel;
#if defined(__x86_64__)
extern const Kernel avx2_kernel;
extern const Kernel avx512_kernel;
extern const WindowsFunction avx512_windows;
#endif

const Kernel& kernel(Isa isa) {
  static constexpr Variant<const Kernel*> table[] = {
      {Isa::scalar, &scalar_kernel},
#if defined(__x86_64__)
      {Isa::avx2, &avx2_kernel},
      {Isa::avx512, &avx512_kernel},
#endif
  };
  return *pick(table, isa);
}

WindowsFunction windows_kernel(Isa isa) {
#if defined(__x86_64__)
  if (isa >= Isa::avx512) return avx512_windows;
#endif
  (void)isa;
  return nullptr;
}

}  // namespace paring::sparse
