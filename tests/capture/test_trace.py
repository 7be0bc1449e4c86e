"""The quick tracer against torch.export: the same graph, on every network of the zoo."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from paring import zoo  # noqa: E402
from paring.capture import capture, outline, without_initialization  # noqa: E402
from paring.errors import GraphError  # noqa: E402
from paring.graph import cost  # noqa: E402

#: One of each family and of what families do differently; the others differ in width and depth.
NETWORKS = [
    "lenet_300_100",
    "lenet_5_1998",
    "lenet_5_caffe",
    "alexnet_grouped",
    "vgg11_bn",
    "googlenet",
    "resnet20",
    "resnet18",
    "squeezenet1_1",
    "mobilenet_v2",
    "shufflenet_v1",
    "shufflenet_v2_x0_5",
    "factorized_topological",
    "factorized_bottleneck",
    "xnor_net_lenet_5",
    "flattened_cifar",
]


def plain(graph):
    """Everything but names and numbers, nodes numbered in order."""
    index = {name: i for i, name in enumerate([*graph.inputs, *(n.name for n in graph.nodes)])}
    shapes = graph.shapes
    rows = [
        (n.op, [index[i] for i in n.inputs], dict(n.attrs), shapes[n.name], [graph.weights[w].shape for w in weights])
        for n, weights in ((n, n.weights.values()) for n in graph.nodes)
    ]
    return rows, [index[o] for o in graph.outputs]


@pytest.mark.parametrize("name", NETWORKS)
def test_it_sees_what_export_sees(name):
    with without_initialization():
        network = zoo.create(name)
    card = zoo.card(name)
    quick = outline(network, card.input_shape)
    careful = capture(network, card.input_shape, fold=False)
    assert plain(quick) == plain(careful)
    assert [n.name for n in quick.nodes if "weight" in n.weights] == [
        n.name for n in careful.nodes if "weight" in n.weights
    ]


def test_weights_are_shapes_only():
    graph = outline(zoo.create("lenet_5_caffe"), (1, 28, 28))
    assert graph.parameters == 431_080
    assert not graph.weights["fc1.weight"].dense().any()
    assert cost(graph).macs == 2_293_000


def test_an_if_on_data_is_refused():
    class Decides(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(GraphError, match=r"test_trace\.py:\d+.*numbers inside a tensor"):
        outline(nn.Sequential(nn.Linear(3, 3), Decides()), (3,))


def test_it_does_not_import_torchs_compiler():
    code = (
        "import sys\nfrom paring import zoo\nfrom paring.capture import outline, without_initialization\n"
        "with without_initialization():\n    m = zoo.create('resnet18')\n"
        "outline(m, (3, 224, 224))\nprint('torch._dynamo' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_without_initialization_only_skips_numbers():
    with without_initialization():
        network = zoo.create("resnet20")
    assert network.state_dict().keys() == zoo.create("resnet20").state_dict().keys()
