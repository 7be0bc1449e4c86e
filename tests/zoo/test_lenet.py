import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from paring import zoo  # noqa: E402
from paring.zoo import lenet  # noqa: E402


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("lenet_300_100", 266_610), ("lenet_5_caffe", 431_080), ("lenet_5_1998", 60_000), ("lenet_5_modern", 61_706)],
)
def test_parameters_to_the_unit_and_every_one_gets_a_gradient(name, parameters):
    torch.manual_seed(0)
    network, card = zoo.create(name), zoo.card(name)
    assert sum(p.numel() for p in network.parameters()) == parameters == card.parameters
    x = torch.randn(3, *card.input_shape)
    y = network(x)
    assert y.shape == (3, 10)
    y.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    network.eval()
    torch.testing.assert_close(network(x)[:1], network(x[:1]))


def test_caffe_layer_sizes():
    sizes = {k: v.numel() for k, v in zoo.create("lenet_5_caffe").state_dict().items()}
    assert sizes["conv1.weight"] + sizes["conv1.bias"] == 520
    assert sizes["conv2.weight"] + sizes["conv2.bias"] == 25_050
    assert sizes["fc1.weight"] + sizes["fc1.bias"] == 400_500
    assert sizes["fc2.weight"] + sizes["fc2.bias"] == 5_010


def test_caffe_has_no_activation_before_fc1():
    """Up to fc1 the network is positively homogeneous but for biases: conv and max pool commute with scaling."""
    network = zoo.create("lenet_5_caffe")
    with torch.no_grad():
        network.conv1.bias.fill_(-5.0)  # a ReLU here would give all zeros
        seen = {}
        network.fc1.register_forward_hook(lambda m, i, o: seen.update(x=i[0]))
        network(torch.zeros(1, 1, 28, 28))
        expected = network.conv2.weight.sum((1, 2, 3)) * -5.0
    torch.testing.assert_close(seen["x"].view(50, 16), expected[:, None].expand(50, 16))


def test_1998_layer_parameters_and_connections():
    network = zoo.create("lenet_5_1998")
    parameters = {
        name: sum(p.numel() for p in getattr(network, name).parameters())
        for name in ("c1", "s2", "c3", "s4", "c5", "f6")
    }
    assert parameters == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    maps = {}
    for name in parameters:
        getattr(network, name).register_forward_hook(lambda m, i, o, name=name: maps.update({name: o[0].numel()}))
    network(torch.zeros(1, 1, 32, 32))
    inputs = {"s2": 4, "s4": 4, "f6": 120, "c1": 25, "c5": 400}  # per unit, bias aside
    connections = {name: maps[name] * (count + 1) for name, count in inputs.items()}
    connections["c3"] = sum(100 * (25 * len(row) + 1) for row in lenet.C3_CONNECTIONS)
    connections["output"] = 840
    assert connections["c1"] == 122_304
    assert connections["s2"] == 5_880
    assert connections["c3"] == 151_600
    assert connections["s4"] == 2_000
    assert sum(connections.values()) == 340_908


def test_c3_is_a_sum_over_its_connections():
    torch.manual_seed(1)
    layer = lenet.PartialConv2d(lenet.C3_CONNECTIONS, 6, 5)
    x = torch.randn(2, 6, 14, 14)
    kernels = iter(layer.weight)
    rows = []
    for out, sources in enumerate(lenet.C3_CONNECTIONS):
        total = sum(F.conv2d(x[:, s : s + 1], next(kernels)[None, None]) for s in sources)
        rows.append(total + layer.bias[out])
    torch.testing.assert_close(layer(x), torch.cat(rows, 1), rtol=1e-4, atol=1e-5)


def test_each_connection_count_of_the_table():
    assert [len(row) for row in lenet.C3_CONNECTIONS] == [3] * 6 + [4] * 9 + [6]
    assert len(set(lenet.C3_CONNECTIONS)) == 16
    reads = [sum(source in row for row in lenet.C3_CONNECTIONS) for source in range(6)]
    assert reads == [10] * 6


def test_sub_sampling_is_coefficient_times_sum_plus_bias():
    layer = lenet.SubSampling(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, -1.0]))
        layer.bias.copy_(torch.tensor([1.0, 2.0]))
    x = torch.arange(8.0).view(1, 2, 2, 2)
    assert layer(x).flatten().tolist() == [0.5 * 6 + 1, -1.0 * 22 + 2]


def test_rbf_is_the_negative_squared_distance():
    torch.manual_seed(2)
    layer = lenet.EuclideanRBF(lenet.digit_prototypes())
    x = torch.randn(4, 84)
    torch.testing.assert_close(layer(x), -torch.cdist(x, layer.prototypes).square(), rtol=1e-4, atol=1e-3)
    assert layer(layer.prototypes).argmax(1).tolist() == list(range(10))


def test_prototypes_are_ten_different_bitmaps():
    prototypes = lenet.digit_prototypes()
    assert prototypes.shape == (10, 84)
    assert set(prototypes.unique().tolist()) == {-1.0, 1.0}
    assert torch.cdist(prototypes, prototypes).add(torch.eye(10) * 99).min() > 4


def test_squash_passes_through_one():
    x = torch.tensor([-1.0, 0.0, 1.0])
    torch.testing.assert_close(lenet.Squash()(x), x, atol=1e-4, rtol=0)


def test_other_sizes():
    for name in ("lenet_300_100", "lenet_5_caffe", "lenet_5_modern"):
        network = zoo.create(name, in_channels=3, resolution=32, num_classes=7)
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
