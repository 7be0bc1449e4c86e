# The kernels, one row each: the folder, which is the namespace, and its variants, the better the further right.
#
# A variant is named by an instruction set and is the folder's kernel.cc compiled for it. Of the variants whose
# instruction sets are all there the last one runs.
kernel(gemm                scalar avx2         avx512)
kernel(depthwise           scalar avx2         avx512)
kernel(sparse              scalar avx2         avx512)
kernel(sparse_windows                          avx512)
kernel(pool                scalar avx2         avx512)
kernel(elementwise         scalar avx2         avx512)
kernel(integer_gemm        scalar avx2 avxvnni avx512 avx512vnni)
kernel(integer_depthwise   scalar avx2 avxvnni avx512 avx512vnni)
kernel(integer_elementwise scalar avx2         avx512)
