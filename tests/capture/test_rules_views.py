"""Views, slices, joins and arithmetic, against torch."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from paring.capture import capture  # noqa: E402
from paring.errors import GraphError  # noqa: E402
from tests.capture.judge import Function, agree, ops  # noqa: E402


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: x.flatten(1), ["flatten"]),
        (lambda m, x: x.view(x.size(0), -1), ["flatten"]),
        (lambda m, x: x.reshape(-1, 4 * 5 * 6), ["flatten"]),
        (lambda m, x: x.permute(0, 2, 3, 1).flatten(1), ["flatten"]),
        (lambda m, x: x.flatten(2).flatten(1), ["flatten"]),
        (lambda m, x: x.flatten(2).unflatten(2, (5, 6)), []),
        (lambda m, x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), []),
        (lambda m, x: x.transpose(1, 3).transpose(3, 1), []),
        (lambda m, x: x.unsqueeze(1).squeeze(1).detach().clone(), []),
        (lambda m, x: x.view(x.shape[0], 2, 2, 5, 6).reshape(x.shape), []),
    ],
)
def test_views_cost_nothing(function, expected):
    module = Function(lambda m, x: function(m, x * 2))
    assert ops(agree(module, (4, 5, 6))) == ["scale_shift", *expected]


def test_flatten_keeps_the_order_of_the_axes():
    chw = agree(nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.Linear(36, 4)), (2, 3, 4))
    assert chw.nodes[1].attrs["order"] == "chw"

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(24, 4)

        def forward(self, x):
            return self.fc(x.permute(0, 2, 3, 1).reshape(len(x), -1))

    assert agree(Last(), (2, 3, 4)).nodes[0].attrs["order"] == "hwc"


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x.transpose(2, 3),
        lambda m, x: x.permute(0, 3, 1, 2),
        lambda m, x: x.permute(0, 3, 2, 1).flatten(1),
        lambda m, x: x.view(len(x), 5, 4, 6),
        lambda m, x: x.view(len(x), 2, 10, 6),
        lambda m, x: x.transpose(0, 1),
        lambda m, x: x.view(-1, 4, 3, 10),
    ],
)
def test_orders_no_graph_has_are_refused(function):
    with pytest.raises(GraphError, match=r"order|cuts|graph cannot follow"):
        capture(Function(lambda m, x: F.relu(function(m, x) * 2) + 0), (4, 5, 6))


# --- shuffles -----------------------------------------------------------------------------------------------------


def paper(x, groups):
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def by_stack(x, groups):
    return torch.stack(x.chunk(groups, 1), 2).flatten(1, 2)


def by_permute(x, groups):
    n, c, h, w = x.shape
    return x.reshape(n, groups, -1, h * w).permute(0, 2, 1, 3).reshape(n, c, h, w)


@pytest.mark.parametrize("shuffle", [paper, by_permute, lambda x, g: nn.ChannelShuffle(g)(x)])
@pytest.mark.parametrize("groups", [2, 3, 4])
def test_channel_shuffle(shuffle, groups):
    graph = agree(Function(lambda m, x: F.relu(shuffle(x, groups))), (12, 3, 2))
    assert sorted(ops(graph)) == ["channel_shuffle", "relu"]
    node = next(n for n in graph.nodes if n.op == "channel_shuffle")
    assert node.attrs["groups"] == groups


def test_shuffle_by_stacking():
    assert "channel_shuffle" in ops(agree(Function(lambda m, x: by_stack(x, 3)), (12, 3, 2)))


def test_shuffle_and_back_is_nothing():
    graph = agree(Function(lambda m, x: paper(paper(x, 3), 4) * 2), (12, 3, 2))
    assert ops(graph) == ["scale_shift"]


def test_shuffle_of_vectors_and_into_a_flatten():
    agree(Function(lambda m, x: x.view(-1, 3, 4).transpose(1, 2).flatten(1)), (12,))
    agree(Function(lambda m, x: paper(x, 2).flatten(1)), (4, 3, 2))


def test_split_by_parity_as_in_megviis_shufflenet():
    def halves(m, x):
        n, c, h, w = x.shape
        x = x.reshape(n * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
        return torch.cat([x[1], m.conv(x[0])], 1)

    agree(Function(halves, conv=nn.Conv2d(4, 4, 3, padding=1)), (8, 5, 5))


# --- parts and joins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, 2:5],
        lambda x: x[:, -2:],
        lambda x: x[:, :3] + x[:, 3:],
        lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
        lambda x: torch.cat([x[:, 1:2], x[:, 4:5]], 1),
        lambda x: sum(x.split(2, dim=1)),
        lambda x: torch.cat(x.split([1, 3, 2], dim=1)[1:], 1),
        lambda x: x.narrow(1, 1, 4),
        lambda x: x[:, ::2] * x[:, 1::2] if x.shape[1] < 0 else x[:, ::2],
        lambda x: x.unflatten(1, (2, 3))[:, 1],
        lambda x: x.unflatten(1, (2, 3))[:, :, 1],
        lambda x: x.unflatten(1, (2, 3)).unbind(1)[0],
        lambda x: x.tensor_split(2, dim=1)[1],
    ],
)
@pytest.mark.parametrize("inner", [(4, 5), ()])
def test_channel_slices(function, inner):
    agree(Function(lambda m, x: function(x * 2) * 1.5), (6, *inner))


def test_every_other_row_and_column():
    assert ops(agree(Function(lambda m, x: x[:, :, ::2, ::2]), (3, 7, 8))) == ["subsample"]
    graph = agree(Function(lambda m, x: x[..., ::3].contiguous()[:, :, ::2]), (3, 7, 8))
    assert graph.nodes[0].attrs["stride"] == (2, 3)


@pytest.mark.parametrize(
    "function", [lambda x: x[:, :, 1:], lambda x: x[:, :, :, :2], lambda x: x[:, :, 0], lambda x: x[1:], lambda x: x[0]]
)
def test_crops_are_refused(function):
    with pytest.raises(GraphError, match="part of an axis"):
        capture(Function(lambda m, x: function(x)), (3, 6, 6))


def test_option_a_shortcut():
    """CIFAR ResNet: every other pixel and zeros for the new channels, in the two ways people write it."""
    padded = Function(lambda m, x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + m.conv(x), conv=nn.Conv2d(4, 8, 1, 2))
    assert sorted(ops(agree(padded, (4, 6, 6)))) == ["add", "conv2d", "pad", "subsample"]
    joined = Function(lambda m, x: torch.cat([x[:, :, ::2, ::2], x.new_zeros(len(x), 4, 3, 3)], 1) + m.conv(x),
                      conv=nn.Conv2d(4, 8, 1, 2))  # fmt: skip
    assert sorted(ops(agree(joined, (4, 6, 6)))) == ["add", "conv2d", "pad", "subsample"]
    like = Function(lambda m, x: torch.cat([torch.zeros_like(x), x, torch.zeros_like(x[:, :1])], 1))
    assert dict(agree(like, (4, 6, 6)).nodes[0].attrs)["channels"] == (4, 1)


def test_concatenation():
    graph = agree(Function(lambda m, x: torch.cat([x, F.relu(x), x * 2], 1)), (3, 4, 5))
    assert ops(graph)[-1] == "concat"
    agree(Function(lambda m, x: torch.cat([x.flatten(1), x.mean((2, 3))], 1)), (3, 4, 5))
    agree(Function(lambda m, x: torch.cat([x.mean((2, 3)), F.adaptive_avg_pool2d(x, 1).flatten(1)], 1)), (3, 4, 5))
    with pytest.raises(GraphError, match="joins along an axis"):
        capture(Function(lambda m, x: torch.cat([x, x], 2)), (3, 4, 5))
    with pytest.raises(GraphError, match="constant that is not zero"):
        capture(Function(lambda m, x: torch.cat([x, torch.ones_like(x)], 1)), (3, 4, 5))


# --- padding ------------------------------------------------------------------------------------------------------


def test_zero_padding_moves_into_the_convolution():
    module = nn.Sequential(nn.ZeroPad2d((0, 1, 2, 3)), nn.Conv2d(3, 4, 3, stride=2, padding=1))
    graph = agree(module, (3, 7, 7))
    assert ops(graph) == ["conv2d"]
    assert graph.nodes[0].attrs["padding"] == (3, 4, 1, 2)


def test_padding_that_something_else_reads_stays():
    module = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))
    assert ops(agree(module, (3, 7, 7))) == ["pad", "max_pool"]
    assert ops(agree(Function(lambda m, x: F.pad(x, (1, 2))), (3, 5, 5))) == ["pad"]
    with pytest.raises(GraphError, match="not zeros"):
        capture(Function(lambda m, x: F.pad(x, (1, 1), value=0.5)), (3, 5, 5))
    with pytest.raises(GraphError, match="crops"):
        capture(Function(lambda m, x: F.pad(x, (-1, 1))), (3, 5, 5))


# --- arithmetic ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: x + 1.5,
        lambda m, x: 2 - x,
        lambda m, x: -x,
        lambda m, x: x / 4,
        lambda m, x: x * m.c + m.c,
        lambda m, x: m.c - x,
        lambda m, x: x / m.c,
        lambda m, x: (x - m.c) * m.one,
        lambda m, x: torch.add(x, m.c, alpha=2.5),
        lambda m, x: x + x.relu(),
        lambda m, x: x - x.relu() * 3,
        lambda m, x: torch.sub(x, x.relu(), alpha=2),
        lambda m, x: x * x.sigmoid(),
        lambda m, x: x**2,
        lambda m, x: x.square() + x.pow(1),
        lambda m, x: x * x.mean((2, 3), keepdim=True),
        lambda m, x: x.mean((2, 3), keepdim=True) * x,
        lambda m, x: x + x.mean((2, 3)).unsqueeze(2).unsqueeze(3),
        lambda m, x: x * x.mean((2, 3))[:, :, None, None].expand_as(x),
        lambda m, x: (x * 3).add_(1).mul_(2),
    ],
)
def test_arithmetic(function):
    c = torch.tensor([0.5, -1.0, 2.0, 4.0]).view(4, 1, 1)
    agree(Function(function, c=c, one=torch.tensor(3.0)), (4, 3, 5))


def test_scalars_in_a_row_become_one_node():
    assert ops(agree(Function(lambda m, x: ((x - 0.5) * 4 + 1) / 3), (4, 3, 5))) == ["scale_shift"]


def test_scalars_behind_a_convolution_fold():
    assert ops(agree(Function(lambda m, x: (m.conv(x) + 1) * 0.3, conv=nn.Conv2d(4, 2, 1)), (4, 3, 5))) == ["conv2d"]


def test_normalization_of_the_input_inside_the_network():
    mean, std = torch.rand(1, 3, 1, 1), torch.rand(1, 3, 1, 1) + 0.5
    module = Function(lambda m, x: m.conv((x - m.mean) / m.std), mean=mean, std=std, conv=nn.Conv2d(3, 4, 3, padding=1))
    assert ops(agree(module, (3, 6, 6))) == ["scale_shift", "conv2d"]


def test_constants_that_differ_from_pixel_to_pixel_are_refused():
    with pytest.raises(GraphError, match="differs within a channel"):
        capture(Function(lambda m, x: x + m.c, c=torch.randn(4, 3, 5)), (4, 3, 5))
    with pytest.raises(GraphError, match="do not fit"):
        capture(Function(lambda m, x: x * x.mean(2, keepdim=True)), (4, 3, 5))
    with pytest.raises(GraphError, match="division by an activation"):
        capture(Function(lambda m, x: x / x.sigmoid()), (4, 3, 5))


def test_squeeze_and_excite():
    class SqueezeExcite(nn.Module):
        def __init__(self, spatial):
            super().__init__()
            self.spatial = spatial
            kind = (lambda a, b: nn.Conv2d(a, b, 1)) if spatial else nn.Linear
            self.down, self.up = kind(8, 2), kind(2, 8)

        def forward(self, x):
            s = F.adaptive_avg_pool2d(x, 1) if self.spatial else x.mean((2, 3))
            s = self.up(F.relu(self.down(s))).sigmoid()
            return x * (s if self.spatial else s.view(*s.shape, 1, 1))

    for spatial in (True, False):
        assert ops(agree(SqueezeExcite(spatial), (8, 5, 5)))[-1] == "mul"


# --- in place -----------------------------------------------------------------------------------------------------


def test_in_place_changes_what_other_names_see():
    """F.relu(y, inplace=True) also changes y, so the sum is twice the ReLU."""

    def residual(m, x):
        y = m.conv(x)
        z = F.relu(y, inplace=True)
        return y + z

    agree(Function(residual, conv=nn.Conv2d(3, 3, 1)), (3, 5, 5))


def test_in_place_through_a_plain_alias():
    def chain(m, x):
        y = m.conv(x)
        same = y.view_as(y)
        y += 1
        return same * 2

    agree(Function(chain, conv=nn.Conv2d(3, 3, 1)), (3, 5, 5))


def test_in_place_on_a_part_is_refused_if_the_whole_is_read():
    def chain(m, x):
        y = m.conv(x)
        y[:, :2].mul_(3)
        return y * 1.0

    with pytest.raises(GraphError, match="out of place"):
        capture(Function(chain, conv=nn.Conv2d(3, 3, 1)), (3, 5, 5))


# --- picked channels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_channels_picked_by_index_go_into_the_weight(groups):
    order = torch.tensor([4, 0, 0, 3, 1, 2])
    conv = nn.Conv2d(6, 12, 3, groups=groups, padding=1)
    assert ops(agree(Function(lambda m, x: m.conv(x[:, m.order]), conv=conv, order=order), (5, 4, 4))) == ["conv2d"]
    agree(Function(lambda m, x: m.conv(x.index_select(1, m.order)), conv=conv, order=order), (5, 4, 4))


def test_channels_picked_for_anything_else_are_refused():
    with pytest.raises(GraphError, match="picks channels"):
        capture(Function(lambda m, x: F.relu(x[:, m.order]), order=torch.tensor([1, 0, 2])), (3, 4, 4))
