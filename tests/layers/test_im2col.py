import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from paring.errors import ArgumentError  # noqa: E402
from paring.layers import col2im, conv2d_gemm, im2col  # noqa: E402
from paring.layers._im2col import output_size  # noqa: E402


def loops(x, weight, bias, stride, padding, dilation, groups):
    """Convolution by the definition: eight loops."""
    top, bottom, left, right = padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n, _, height, width = x.shape
    filters, depth, kh, kw = weight.shape
    rows = (height - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, filters, rows, columns))
    for index in np.ndindex(*y.shape):
        image, f, r, c = index
        first = f // (filters // groups) * depth
        for d, i, j in np.ndindex(depth, kh, kw):
            value = x[image, first + d, r * stride[0] + i * dilation[0], c * stride[1] + j * dilation[1]]
            y[index] += value * weight[f, d, i, j]
        y[index] += bias[f]
    return y


geometry = st.fixed_dictionaries(
    {
        "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "padding": st.tuples(*[st.integers(0, 2)] * 4),
        "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
        "size": st.tuples(st.integers(5, 8), st.integers(5, 8)),
    }
)


@settings(max_examples=40, deadline=None)
@given(geometry, st.sampled_from([(1, 2, 3), (2, 1, 2), (3, 1, 1), (2, 2, 2)]), st.integers(0, 2**32 - 1))
def test_against_the_definition_and_torch(g, channels, seed):
    groups, depth, out = channels
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, groups * depth, *g["size"]))
    weight = rng.standard_normal((groups * out, depth, *g["kernel"]))
    bias = rng.standard_normal(groups * out)
    y = conv2d_gemm(x, weight, bias, stride=g["stride"], padding=g["padding"], dilation=g["dilation"], groups=groups)
    np.testing.assert_allclose(y, loops(x, weight, bias, g["stride"], g["padding"], g["dilation"], groups), atol=1e-12)
    top, bottom, left, right = g["padding"]
    padded = F.pad(torch.from_numpy(x), (left, right, top, bottom))
    wanted = F.conv2d(padded, *map(torch.from_numpy, (weight, bias)), g["stride"], 0, g["dilation"], groups)
    np.testing.assert_allclose(y, wanted.numpy(), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(geometry, st.integers(0, 2**32 - 1))
def test_col2im_is_the_adjoint(g, seed):
    """<im2col(x), y> = <x, col2im(y)>."""
    rng = np.random.default_rng(seed)
    options = (g["kernel"], g["stride"], g["padding"], g["dilation"])
    x = rng.standard_normal((2, 3, *g["size"]))
    columns = im2col(x, *options)
    y = rng.standard_normal(columns.shape)
    back = col2im(y, g["size"], *options)
    assert back.shape == x.shape
    np.testing.assert_allclose((columns * y).sum(), (x * back).sum(), rtol=1e-10)


def test_im2col_agrees_with_torchs_unfold():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9)).astype(np.float32)
    columns = im2col(x, (3, 2), (2, 1), (1, 0), (1, 2))
    wanted = F.unfold(torch.from_numpy(x), (3, 2), (1, 2), (1, 0), (2, 1))
    assert columns.dtype == np.float32
    np.testing.assert_array_equal(columns, wanted.numpy())


def test_a_hand_worked_case():
    x = np.arange(9.0).reshape(1, 1, 3, 3)
    np.testing.assert_array_equal(im2col(x, 2)[0], [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]])
    np.testing.assert_array_equal(conv2d_gemm(x, np.ones((1, 1, 2, 2)))[0, 0], [[8, 12], [20, 24]])
    np.testing.assert_array_equal(col2im(np.ones((1, 4, 4)), (3, 3), 2)[0, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])


def test_integers_stay_exact():
    x = np.full((1, 8, 3, 3), 127, np.int32)
    weight = np.full((4, 8, 3, 3), -127, np.int32)
    y = conv2d_gemm(x, weight)
    assert y.dtype == np.int32
    assert (y == -127 * 127 * 72).all()


@pytest.mark.parametrize(
    ("arguments", "expected"), [((227, 11, 4), 55), ((224, 11, 4, (2, 2)), 55), ((7, 3, 1, (0, 0), 3), 1)]
)
def test_output_size(arguments, expected):
    assert output_size(*arguments) == expected


def test_refusals():
    x = np.zeros((1, 4, 3, 3))
    for weight, kwargs in [
        (np.zeros((4, 3, 1, 1)), {}),
        (np.zeros((3, 2, 1, 1)), {"groups": 2}),
        (np.zeros((4, 4, 5, 5)), {}),
        (np.zeros((4, 4, 1, 1)), {"stride": 0}),
        (np.zeros((4, 4, 1, 1)), {"padding": -1}),
    ]:
        with pytest.raises(ArgumentError):
            conv2d_gemm(x, weight, **kwargs)
