"""Every layer with a counterpart in a graph, against torch on random weights."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from paring.capture import capture, outline  # noqa: E402
from paring.errors import GraphError  # noqa: E402
from tests.capture.judge import Function, agree, ops  # noqa: E402


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3),
        nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), bias=False),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2),
        nn.Conv2d(4, 8, 3, groups=2, padding=1),
        nn.Conv2d(4, 8, 3, groups=4, padding=1),
        nn.Conv2d(4, 6, 4, padding="same"),
        nn.Conv2d(4, 6, 3, padding="valid"),
        nn.Conv2d(4, 6, (2, 3), padding="same", dilation=2),
    ],
)
def test_conv2d(layer):
    graph = agree(layer, (4, 11, 9))
    assert ops(graph) == ["conv2d"]


def test_conv2d_names_and_layout():
    module = nn.Sequential(nn.Conv2d(2, 3, (1, 5)))
    graph = agree(module, (2, 6, 6))
    assert graph.nodes[0].name == "0"
    assert graph.weights["0.weight"].shape == (3, 2, 1, 5)
    assert (graph.weights["0.weight"].dense() == module[0].weight.detach().numpy()).all()


def test_a_vector_through_1x1_convolutions_is_fully_connected():
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 3, 1))
    assert ops(agree(module, (4, 5, 5)))[-1] in ("conv2d", "linear")


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 4, 3)),
        nn.Sequential(
            nn.Conv1d(3, 6, 3, padding="same", groups=3, dilation=2), nn.BatchNorm1d(6), nn.AvgPool1d(3, 2, 1)
        ),
        nn.Sequential(nn.Conv1d(3, 8, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2)),
        nn.Sequential(nn.Conv1d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 15, 2)),
    ],
)
def test_conv1d_is_a_map_of_height_one(module):
    graph = agree(module, (3, 17))
    assert graph.inputs["input"] == (1, 17, 3)
    assert graph.weights["0.weight"].shape[2] == 1


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    assert ops(agree(nn.Linear(7, 5, bias=bias), (7,))) == ["linear"]


def test_products_with_a_parameter():
    w, b = nn.Parameter(torch.randn(7, 5)), nn.Parameter(torch.randn(5))
    graph = agree(Function(lambda m, x: x @ m.w, w=w), (7,))
    assert ops(graph) == ["linear"]
    agree(Function(lambda m, x: torch.addmm(m.b, x, m.w), w=w, b=b), (7,))
    tied = agree(Function(lambda m, x: (x @ m.w) @ m.w.t(), w=w), (7,))
    assert len(tied.weights) == 2  # one orientation each


def test_linear_on_the_last_axis_is_a_1x1_convolution():
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 6)

        def forward(self, x):
            return self.fc(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    graph = agree(Mixer(), (4, 5, 3))
    assert ops(graph) == ["conv2d"]
    assert graph.weights["fc.weight"].shape == (6, 4, 1, 1)


# --- normalization ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU()), (3, 8, 8)),
        (nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6, affine=False)), (3, 8, 8)),
        (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)), (6,)),
    ],
)
def test_batch_norm(module, shape, fold):
    graph = agree(module, shape, fold=fold)
    assert ("scale_shift" in ops(graph)) is not fold
    assert graph.nodes[0].name == "0"
    if not fold:
        assert graph.nodes[1].name == "1"
        assert set(graph.nodes[1].weights.values()) == {"1.scale", "1.shift"}
    else:
        assert set(graph.weights) >= {"0.weight", "0.bias"}


def test_batch_norm_that_cannot_fold_stays():
    before = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1))
    assert ops(agree(before, (3, 6, 6))) == ["scale_shift", "conv2d"]

    class TwoReaders(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return self.bn(y) + y

    assert ops(agree(TwoReaders(), (3, 6, 6))) == ["conv2d", "scale_shift", "add"]

    class OneConvTwoNorms(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.a, self.b = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.b(self.conv(self.a(self.conv(x))))

    graph = agree(OneConvTwoNorms(), (3, 6, 6))
    assert ops(graph) == ["conv2d", "scale_shift", "conv2d", "scale_shift"]
    assert sum(name.startswith("conv") for name in graph.weights) == 2


def test_batch_statistics_are_refused():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(GraphError, match=r"1\b.*statistics of the batch"):
        capture(module, (3, 5, 5))


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_local_response_norm(size):
    graph = agree(nn.LocalResponseNorm(size, alpha=0.3, beta=0.6, k=1.7), (7, 5, 4))
    assert ops(graph) == ["lrn"]
    assert dict(graph.nodes[0].attrs) == {"size": size, "alpha": 0.3, "beta": 0.6, "k": 1.7}
    assert ops(agree(Function(lambda m, x: F.local_response_norm(F.relu(x), size)), (7, 5, 4))) == ["relu", "lrn"]


def test_a_home_made_division_is_not_taken_for_a_response_norm():
    with pytest.raises(GraphError, match="pow"):
        capture(Function(lambda m, x: x / (x * x * 0.1 + 1).pow(0.75)), (4, 5, 5))


# --- pooling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d((2, 3), (1, 2), (1, 1)),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(2, 2, 1, ceil_mode=True),
        nn.MaxPool2d(2, 1, dilation=2),
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d((3, 1), (2, 1), (1, 0)),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveAvgPool2d((None, 4)),
        nn.AdaptiveMaxPool2d((2, 5)),
    ],
)
def test_pooling(layer):
    assert len(agree(layer, (3, 8, 10)).nodes) == 1


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: x.mean((2, 3)), ["global_avg_pool"]),
        (lambda m, x: x.mean((-1, -2), keepdim=True), ["adaptive_avg_pool"]),
        (lambda m, x: x.flatten(2).mean(-1), ["global_avg_pool"]),
        (lambda m, x: x.mean(3).mean(2), None),
        (lambda m, x: F.avg_pool2d(x, x.shape[2:]).flatten(1), ["global_avg_pool"]),
        (lambda m, x: F.adaptive_avg_pool2d(x, 1).squeeze(), ["global_avg_pool"]),
        (lambda m, x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0], ["global_avg_pool"]),
        (lambda m, x: x.amax((2, 3)), ["max_pool", "flatten"]),
        (lambda m, x: x.flatten(2).max(2)[0], None),
        (lambda m, x: x.sum((2, 3)), None),
        (lambda m, x: x.permute(0, 2, 3, 1).mean((1, 2)), ["global_avg_pool"]),
    ],
)
def test_pooling_over_everything(function, expected):
    graph = agree(Function(function), (3, 6, 6))
    assert expected in (None, ops(graph))


# --- activations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        nn.Hardtanh(-0.3, 0.7),
        nn.LeakyReLU(0.2),
        nn.PReLU(),
        nn.PReLU(4),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Hardswish(),
        nn.Hardswish(inplace=True),
        nn.Hardsigmoid(),
        nn.SiLU(),
        nn.GELU(),
        nn.Softmax(1),
        nn.Threshold(0, 0),
        nn.Dropout(0.5),
        nn.Identity(),
        Function(lambda m, x: x.clamp(min=0)),
        Function(lambda m, x: x.clamp(-0.5, 0.25)),
        Function(lambda m, x: x.clamp(max=0.25)),
        Function(lambda m, x: torch.clamp_min(x, -0.1)),
        Function(lambda m, x: x.relu_()),
        Function(lambda m, x: torch.softmax(x, dim=-3) if x.ndim == 4 else torch.softmax(x, -1)),
    ],
)
@pytest.mark.parametrize("shape", [(4, 3, 5), (4,)])
def test_activations(layer, shape):
    module = Function(lambda m, x: m.layer(x * 3), layer=layer)
    assert len(agree(module, shape, tolerance=2e-6).nodes) <= 2


def test_dropout_and_identity_leave_nothing():
    module = nn.Sequential(nn.Identity(), nn.Dropout(), nn.Linear(3, 3), nn.Dropout1d(), nn.AlphaDropout())
    assert ops(agree(module, (3,))) == ["linear"]


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (nn.GELU("tanh"), "tanh approximation"),
        (nn.ELU(), "elu"),
        (nn.LayerNorm(6), "layer_norm"),
        (nn.GroupNorm(2, 4), "group_norm"),
        (nn.InstanceNorm2d(4), "instance_norm"),
        (nn.Upsample(scale_factor=2), "upsample"),
        (nn.PixelShuffle(2), "pixel_shuffle"),
        (nn.LogSoftmax(1), "log_softmax"),
        (nn.Softmax(3), "softmax"),
        (nn.ReflectionPad2d(1), "reflect"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), "circular"),
        (nn.AdaptiveMaxPool2d(4), "unequal windows"),
        (nn.AvgPool2d(2, divisor_override=3), "divisor"),
    ],
)
def test_what_has_no_counterpart_says_where_it_is(layer, word):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential(nn.ReLU(), layer))
    with pytest.raises(GraphError, match=word) as caught:
        capture(module, (4, 6, 6))
    assert str(caught.value).startswith("1.1")


@pytest.mark.parametrize("trace", [capture, outline])
@pytest.mark.parametrize(
    ("layer", "cure"),
    [
        (nn.LogSoftmax(1), "Return the logits"),
        (nn.InstanceNorm2d(4), "train with BatchNorm2d in its place"),
        (nn.InstanceNorm2d(4, affine=True), "train with BatchNorm2d in its place"),
        (nn.GroupNorm(2, 4), "train with BatchNorm2d in its place"),
    ],
)
def test_a_refusal_names_the_cure(trace, layer, cure):
    with pytest.raises(GraphError, match=cure) as caught:
        trace(nn.Sequential(nn.Conv2d(4, 4, 1), layer), (4, 6, 6))
    assert str(caught.value).startswith("1: ")  # no line of ours: torch's own modules call each other
    assert "batch norm" not in str(caught.value)


class Raised(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("powers", torch.arange(4000.0).view(1, 4, 1000, 1)[:, :, :6])

    def forward(self, x):
        return x**self.powers


@pytest.mark.parametrize("trace", [capture, outline])
def test_a_refused_constant_is_shown_by_its_shape(trace):
    with pytest.raises(GraphError, match=r"constant of shape \(1, 4, 6, 1\), powers") as caught:
        trace(Raised(), (4, 6, 6))
    assert len(str(caught.value)) < 200


def test_what_torch_cannot_trace_is_one_line(caplog, capfd):
    with pytest.raises(GraphError, match="could not trace") as caught:
        capture(nn.Sequential(nn.Conv2d(4, 4, 3), nn.Linear(7, 2)), (4, 6, 6))
    assert "<string>" not in str(caught.value)
    assert all(record.name == "torch.__trace" for record in caplog.records)  # which nobody prints
    assert capfd.readouterr() == ("", "")
