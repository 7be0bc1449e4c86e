# The instruction sets that kernels are written for, one row each; a row is a bit of `Isa` in C++.
#
#   MACHINE    the processors it exists on
#   NEEDS      the rows that come with it, which stand above
#   FEATURES   what the processor must report: names of __builtin_cpu_supports on x86_64, of HWCAP_ bits on aarch64
#   FLAGS      what the compiler is told beside the flags of NEEDS; on x86_64 by default -m and each feature
#
# The order is not a ranking: a kernel's own row says which of its variants it prefers.
instruction_set(scalar)
instruction_set(avx2       MACHINE x86_64  NEEDS scalar FEATURES avx2 fma bmi2 popcnt)
instruction_set(avxvnni    MACHINE x86_64  NEEDS avx2   FEATURES avxvnni)
instruction_set(avx512     MACHINE x86_64  NEEDS avx2   FEATURES avx512f avx512bw avx512dq avx512vl)
instruction_set(avx512vnni MACHINE x86_64  NEEDS avx512 FEATURES avx512vnni)
instruction_set(neon       MACHINE aarch64 NEEDS scalar FEATURES ASIMD)
instruction_set(dotprod    MACHINE aarch64 NEEDS neon   FEATURES ASIMDDP FLAGS -march=armv8.2-a+dotprod)
