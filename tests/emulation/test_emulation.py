"""Kernels on codes for instruction sets that this processor may lack: their instructions are emulated in plain C++."""

import shutil
import subprocess
from pathlib import Path

import pytest

from paring.runtime._engine import ISAS

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "native"
#: Instruction sets to what the compiler is told for each: all of AVX-512 by the immintrin.h here, or AVX-VNNI by AVX2.
AVX512 = {"avx512": ["-D__AVX2__", "-D__AVX512F__"]}
AVX512["avx512vnni"] = [*AVX512["avx512"], "-D__AVX512VNNI__"]
AVX512 = {isa: [f"-I{HERE}", *flags] for isa, flags in AVX512.items()}
AVXVNNI = {"avxvnni": ["-mavx2", "-mfma", "-include", str(HERE / "avxvnni.h")]}


def variants(kernel, isas):
    """Those of ``isas`` that the kernel's row has."""
    rows = (NATIVE / "kernels" / "kernels.cmake").read_text().splitlines()
    (row,) = (line for line in rows if line.startswith(f"kernel({kernel} "))
    return [isa for isa in isas if isa in row.rstrip(")").split()]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize(
    "isas",
    [
        pytest.param(AVX512, id="avx512"),
        pytest.param(AVXVNNI, id="avxvnni", marks=pytest.mark.skipif("avx2" not in ISAS, reason="needs AVX2")),
    ],
)
def test_emulated_kernels_give_the_plain_kernels_codes(isas, tmp_path):
    flags = ["g++", "-std=c++20", "-O1", "-ffp-contract=off", "-w", f"-I{NATIVE}"]
    objects, names = [], []
    for kernel, macro in (("gemm", "GEMM"), ("depthwise", "DEPTHWISE"), ("elementwise", "ELEMENTWISE")):
        source, here = NATIVE / "kernels" / f"integer_{kernel}" / "kernel.cc", variants(f"integer_{kernel}", isas)
        names.append(f"-D{macro}=" + " ".join(f"X({isa})" for isa in here))
        for isa in ["scalar", *here]:
            objects.append(str(tmp_path / f"{kernel}_{isa}.o"))
            told = [*isas.get(isa, []), f"-DPARING_KERNEL={isa}_kernel"]
            subprocess.run([*flags, *told, "-c", str(source), "-o", objects[-1]], check=True)
    program = tmp_path / "kernels"
    subprocess.run([*flags, *names, str(HERE / "kernels.cc"), *objects, "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "300 layers, 300 depthwise, 300 elementwise\n"
