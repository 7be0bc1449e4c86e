"""AVX-512 and VNNI kernels on codes, on any processor: their instructions are emulated in plain C++."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Kernel folder to the instruction sets it has a file for.
KERNELS = {
    "integer_gemm": ("scalar", "avx512", "avx512vnni"),
    "integer_depthwise": ("scalar", "avx512", "avx512vnni"),
    "integer_elementwise": ("scalar", "avx512"),
}
MACROS = {"scalar": [], "avx512": ["-D__AVX2__", "-D__AVX512F__"]}
MACROS["avx512vnni"] = [*MACROS["avx512"], "-D__AVX512VNNI__"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_emulated_kernels_give_the_plain_kernels_codes(tmp_path):
    flags = [
        "g++",
        "-std=c++20",
        "-O1",
        "-ffp-contract=off",
        "-w",
        f"-I{ROOT / 'native'}",
        f"-I{Path(__file__).parent}",
    ]
    objects = []
    for folder, isas in KERNELS.items():
        for isa in isas:
            objects.append(str(tmp_path / f"{folder}_{isa}.o"))
            source = ROOT / "native" / "kernels" / folder / f"u8_{isa}.cc"
            subprocess.run([*flags, *MACROS[isa], "-c", str(source), "-o", objects[-1]], check=True)
    program = tmp_path / "kernels"
    subprocess.run([*flags, str(Path(__file__).with_name("kernels.cc")), *objects, "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == "300 layers, 300 depthwise, 300 elementwise\n"
