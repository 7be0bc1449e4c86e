"""Every variant of every kernel's row, on the example in the kernel's folder."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from paring.runtime import Engine, info, reference
from paring.runtime._engine import VARIANTS

KERNELS = Path(__file__).resolve().parents[2] / "native" / "kernels"
ROWS = [(kernel, isa) for kernel, isas in VARIANTS.items() for isa in isas]


@pytest.mark.parametrize(("kernel", "isa"), ROWS)
def test_each_variant_agrees_with_the_reference(kernel, isa):
    found = runpy.run_path(str(KERNELS / kernel / "example.py"))
    random = np.random.default_rng(0)
    graph = found["example"](random)
    x = random.standard_normal((1, *graph.inputs["x"]), np.float32)
    engine = Engine(graph, isa=isa)
    assert dict(engine.kernels)["n"] == found["KIND"]
    expected = reference.run(graph, x)
    if "quantize" in {node.op for node in graph.nodes}:
        np.testing.assert_array_equal(engine.run(x), expected)
        assert len(np.unique(expected)) > 100
    else:
        np.testing.assert_allclose(engine.run(x), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("kernel", "isa"), ROWS)
def test_each_variant_is_the_one_that_runs_with_its_own_instruction_set(kernel, isa, monkeypatch):
    monkeypatch.setenv("PARING_ISA", isa)
    assert info()["isa"] == isa
    assert info()["kernels"][kernel] == isa


def test_the_best_variants_are_the_default(monkeypatch):
    monkeypatch.delenv("PARING_ISA", raising=False)
    assert info()["kernels"] == {kernel: isas[-1] for kernel, isas in VARIANTS.items()}


def test_several_instruction_sets_are_joined():
    graph = runpy.run_path(str(KERNELS / "gemm" / "example.py"))["example"](np.random.default_rng(0))
    assert Engine(graph, isa="+".join(dict(ROWS)[k] for k in ("gemm", "depthwise"))).isa == dict(ROWS)["gemm"]
    assert Engine(graph, isa="scalar+scalar").isa == "scalar"


def test_an_instruction_set_stands_in_no_more_files_than_contributing_says():
    root = KERNELS.parents[1]
    sources = [path for folder in ("native", "src") for path in (root / folder).rglob("*")]
    texts = [path for path in sources if path.suffix in (".cc", ".h", ".py", ".cmake", ".txt")]
    found = {str(path.relative_to(root)) for path in texts if "avxvnni" in path.read_text().lower()}
    page = (root / "docs" / "contributing.md").read_text()
    section = page.split("## An instruction set\n")[1].split("\n## ")[0]
    assert found == {row.split("`")[1] for row in section.splitlines() if row.startswith("| `")}


def test_every_folder_with_a_kernel_has_a_row():
    rows = (KERNELS / "kernels.cmake").read_text()
    for source in KERNELS.glob("*/kernel.cc"):
        assert f"kernel({source.parent.name} " in rows
        assert (source.parent / "example.py").exists()
