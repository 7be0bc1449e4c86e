"""ONNX files: answers of an independent runtime are those of the network."""

import importlib.util

import numpy as np
import pytest

from paring.container import Contents
from paring.errors import GraphError, ParingError
from paring.forms import Integer, Sparse
from paring.graph import Graph, Node
from paring.runtime import Model, reference, write_onnx
from tests.runtime.cases import CASES, rand

HERE = importlib.util.find_spec("onnx") is not None
needs_onnx = pytest.mark.skipif(not HERE, reason="onnx is not installed")


#: What ONNX cannot say, and what the error says of it.
REFUSED = {
    "adaptive": "windows differ in size",
    "adaptive up": "windows differ in size",
    "lrn even": "odd number of channels",
    "max_pool empty window": "file answers otherwise",
    "transposed dilation": "output padding below the stride",
}


@needs_onnx
@pytest.mark.parametrize("name", sorted(set(CASES) - set(REFUSED)))
def test_every_operator(name, tmp_path):
    written = write_onnx(tmp_path / "a.onnx", CASES[name][0])
    assert written["difference"] < 1e-4
    assert (tmp_path / "a.onnx").stat().st_size == written["bytes"]


@needs_onnx
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_onnx_cannot_say(name, tmp_path):
    with pytest.raises(GraphError, match=f"n: ONNX .*{REFUSED[name]}"):
        write_onnx(tmp_path / "a.onnx", CASES[name][0])
    assert not list(tmp_path.iterdir())


@needs_onnx
def test_forms_are_decoded_and_codes_are_refused(tmp_path):
    mask = rand(0, 3, 8) > 0
    weights = {"a": Sparse(mask, rand(1, 3, 8)[mask]), "b": Integer.from_dense(rand(2, 4, 3), np.ones(1), 8)}
    nodes = [Node("one", "linear", ("x",), {}, {"weight": "a"}), Node("two", "linear", ("one",), {}, {"weight": "b"})]
    graph = Graph({"x": (8,)}, nodes, ("two",), weights)
    Model(Contents(graph)).to_onnx(tmp_path / "a.onnx")
    import onnx
    from onnx.reference import ReferenceEvaluator

    x = rand(3, 5, 8)
    [answers] = ReferenceEvaluator(onnx.load(tmp_path / "a.onnx")).run(None, {"x": x})
    np.testing.assert_allclose(answers, reference.run(graph, x), rtol=1e-5, atol=1e-5)
    nodes = [Node("q", "quantize", ("x",), {"scale": 0.125}), Node("d", "dequantize", ("q",))]
    with pytest.raises(GraphError, match=r"q: network computes with integers.*Export the float network"):
        write_onnx(tmp_path / "b.onnx", Graph({"x": (8,)}, nodes, ("d",)))
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.skipif(HERE, reason="onnx is installed")
def test_without_onnx_it_says_what_to_install(tmp_path):
    graph = Graph({"x": (8,)}, [Node("r", "relu", ("x",))], ("r",))
    with pytest.raises(ParingError, match=r"needs onnx.*pip install 'paring\[onnx\]'"):
        write_onnx(tmp_path / "a.onnx", graph)
