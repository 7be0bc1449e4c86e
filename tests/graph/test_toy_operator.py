"""An elementwise operator from outside the package, by one registration on each side of torch, through everything."""

import numpy as np
import pytest

from paring import container, load
from paring.container import Contents
from paring.errors import ArgumentError, FormatError, GraphError
from paring.graph import OPS, PLUGIN, Graph, Node, OpSpec, cost, couplings, register_operator
from paring.runtime import Engine, reference

torch = pytest.importorskip("torch")

from paring import capture  # noqa: E402
from paring.methods.channels import prune_channels  # noqa: E402
from paring.methods.integer import moments, quantize  # noqa: E402
from tests.graph.operators import restored  # noqa: E402

NAME = "toy.elu"


def elu(attrs, inputs, weights):
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere (Clevert et al. 2016, arXiv 1511.07289)."""
    x = inputs[0]
    return np.where(x > 0, x, np.float32(attrs["alpha"]) * np.expm1(np.minimum(x, 0)))


SPEC = OpSpec.function(attrs={"alpha": 1.0}, activation=True, compute=elu)


@pytest.fixture(autouse=True)
def registered():
    with restored():
        register_operator(NAME, SPEC)
        capture.register_operator(NAME, torch.nn.functional.elu, ["elu"], lambda alpha=1.0: {"alpha": float(alpha)})
        yield


def network():
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ELU(0.5), torch.nn.Conv2d(16, 16, 3), torch.nn.ELU())
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(16 * 36, 5)).eval()


def images(count=8):
    return torch.from_numpy(np.random.default_rng(1).standard_normal((count, 3, 8, 8)).astype(np.float32))


def test_from_torch_to_a_graph_and_back():
    net, x = network(), images()
    graph = capture.capture(net, (3, 8, 8))
    assert [node.attrs["alpha"] for node in graph.nodes if node.op == NAME] == [0.5, 1.0]
    with torch.no_grad():
        wanted = net(x)
        np.testing.assert_allclose(capture.rebuild(graph)(x), wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(reference.run(graph, hwc(x)), wanted, rtol=1e-4, atol=1e-5)
    assert capture.outline(net, (3, 8, 8)).nodes[1:] == graph.nodes[1:]  # the first names its input otherwise


def test_it_trains():
    graph, x = capture.capture(network(), (3, 8, 8)), images(32)
    net, wanted = capture.rebuild(graph), torch.arange(32) % 5
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    losses = []
    for _ in range(5):
        losses.append(torch.nn.functional.cross_entropy(net(x), wanted))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    assert {node.op for node in net.as_graph().nodes} == {node.op for node in graph.nodes}


def hwc(x):
    return np.ascontiguousarray(np.moveaxis(x.numpy(), 1, -1))


def test_it_costs_and_is_pruned_like_a_relu():
    graph = capture.capture(network(), (3, 8, 8))
    relu = graph.replaced(nodes=[Node(n.name, "relu", n.inputs) if n.op == NAME else n for n in graph.nodes])
    assert [row.live_bytes for row in cost(graph).rows] == [row.live_bytes for row in cost(relu).rows]
    assert cost(graph).macs == cost(relu).macs
    assert {k: v.tolist() for k, v in couplings(graph).values.items()} == {
        k: v.tolist() for k, v in couplings(relu).values.items()
    }
    assert prune_channels(graph, {"0": 0.5}, round_to=8).graph.shapes["0"] == (8, 8, 8)
    mean = moments(graph, {})["1"].mean  # of 0.5 elu(x) for a normal x
    assert mean.shape == (16,)


def test_on_codes_it_is_a_table_and_runs_in_the_native_engine(tmp_path):
    net, x = network(), images(32)
    made = quantize(capture.capture(net, (3, 8, 8)), x).graph
    assert NAME not in {node.op for node in made.nodes}
    lookups = [node for node in made.nodes if node.op == "lookup"]
    assert len(lookups) == 2
    source, target = made.quant_params[lookups[0].inputs[0]], made.quant_params[lookups[0].name]
    real = source.scale * (np.arange(256) - source.zero_point)
    judged = np.rint(np.where(real > 0, real, 0.5 * np.expm1(real)) / target.scale) + target.zero_point
    table = made.weights[lookups[0].weights["table"]].dense()
    assert np.abs(table - np.clip(judged, 0, 255)).max() <= 1  # ties between float32 and float64
    container.write(tmp_path / "codes.pare", Contents(made))
    model = load(tmp_path / "codes.pare")
    assert model.engine is not None
    np.testing.assert_allclose(model(hwc(x)), reference.run(made, hwc(x)), atol=1e-6)
    with torch.no_grad():
        wanted = net(x).numpy()
    assert np.abs(model(hwc(x)) - wanted).max() < 0.05 * np.abs(wanted).max()


def test_in_a_file_it_goes_by_its_name_and_floats_run_in_the_reference_interpreter(tmp_path):
    graph = capture.capture(network(), (3, 8, 8))
    path = tmp_path / "floats.pare"
    container.write(path, Contents(graph))
    there = container.read(path).graph
    assert there.nodes == graph.nodes
    with pytest.warns(RuntimeWarning, match=f"no kernel for {NAME}: the network runs in the reference"):
        model = load(path)
    np.testing.assert_array_equal(model(hwc(images())), reference.run(graph, hwc(images())))
    with pytest.raises(GraphError, match=rf"no kernel.*{NAME}.*reference"):
        Engine(graph)
    del OPS[NAME]
    with pytest.raises(FormatError, match=rf"not registered.*{NAME}.*register_operator"):
        container.read(path)


def test_an_operator_of_the_format_cannot_go_by_its_name(tmp_path, monkeypatch):
    """One network, one byte string: a number has no second spelling."""
    graph = Graph({"x": (4,)}, [Node("a", NAME, ("x",))], ("a",))
    path = tmp_path / "a.pare"
    container.write(path, Contents(graph))
    monkeypatch.setitem(OPS, NAME, OPS["relu"])
    with pytest.raises(FormatError, match="not registered"):
        container.read(path)


@pytest.mark.parametrize(
    ("name", "spec", "says"),
    [
        ("relu", SPEC, "taken"),
        (NAME, OpSpec.function(attrs={"alpha": 2.0}, compute=elu), "taken"),
        ("Toy", SPEC, "name"),
        ("x" * 65, SPEC, "name"),
        ("toy.two", OpSpec.function(7, compute=elu), "PLUGIN"),
        ("toy.two", OpSpec.function(PLUGIN), "compute"),
    ],
)
def test_what_is_no_plug_in_is_refused(name, spec, says):
    with pytest.raises(ArgumentError, match=says):
        register_operator(name, spec)


def test_registering_again_is_no_harm_and_torch_comes_second():
    register_operator(NAME, SPEC)
    with pytest.raises(ArgumentError, match="register_operator first"):
        capture.register_operator("toy.none", torch.abs)
