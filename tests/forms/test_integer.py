"""The integer form: exact values, symbols in the coders' order, refusal of what breaks a rule."""

import numpy as np
import pytest

from paring.container import Contents, read, write
from paring.errors import FormatError
from paring.forms import Integer
from paring.graph import Graph, Node, entropy_bytes, packed_bytes

RNG = np.random.default_rng(5)


def form_of(bits, shape=(6, 5, 3, 3), channels=6, axis=0):
    most = max(1, 2 ** (bits - 1) - 1)
    codes = RNG.choice([-1, 1], shape) if bits == 1 else RNG.integers(-most, most + 1, shape)
    return Integer(codes, RNG.uniform(0.01, 0.1, channels), bits, axis)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize(("channels", "axis"), [(1, 0), (6, 0), (5, 1)])
def test_parts_rebuild_the_form_and_its_value_is_the_product(bits, channels, axis):
    form = form_of(bits, channels=channels, axis=axis)
    again = Integer.from_arrays(form.shape, form.params(), form.arrays())
    assert again.equals(form)
    for index in np.ndindex(form.shape):
        scale = form.scales[index[axis] if channels > 1 else 0]
        assert form.dense()[index] == np.float32(int(form.codes[index])) * scale
    assert form.nonzeros == np.count_nonzero(form.dense())
    assert form.dense().dtype == np.float32


def test_symbols_stand_as_coders_like_them():
    """0 is zero, 1 .. n the negative codes upwards, n + 1 .. 2 n the positive ones; one bit is 0 for -1."""
    form = Integer(np.arange(-3, 4), [1.0], 3)
    np.testing.assert_array_equal(form.arrays()["symbols"], [1, 2, 3, 0, 4, 5, 6])
    np.testing.assert_array_equal(Integer(np.array([-1, 1]), [1.0], 1).arrays()["symbols"], [0, 1])
    alphabets = [Integer.specs((2,), {"bits": bits, "channels": 1, "axis": 0})[1].alphabet for bits in range(1, 9)]
    assert alphabets == [2, 3, 7, 15, 31, 63, 127, 255]


def test_a_code_takes_its_width():
    form = form_of(4, (16, 8), 16)
    assert packed_bytes(form) == 16 * 4 + 16 * 8 // 2
    assert packed_bytes(form_of(1, (16, 8), 1)) == 4 + 16
    assert entropy_bytes(Integer(np.ones((16, 8), int), [1.0], 1)) == 4


def test_nearest_codes():
    weight = np.array([[-1.0, 0.25, 0.75, 9.0], [0.1, -0.1, 0.0, 0.15]])
    form = Integer.from_dense(weight, [0.5, 0.1], 3)
    np.testing.assert_array_equal(form.codes, [[-2, 0, 2, 3], [1, -1, 0, 1]])  # 0.5 and 1.5 go to even codes
    binary = Integer.from_dense(weight, [1.0], 1)
    np.testing.assert_array_equal(binary.codes, [[-1, 1, 1, 1], [1, -1, 1, 1]])
    by_input = Integer.from_dense(weight.T, [0.5, 0.1], 3, axis=1)
    np.testing.assert_array_equal(by_input.codes, form.codes.T)


@pytest.mark.parametrize("coding", ["adaptive", "huffman"])
def test_the_file_gives_it_back(tmp_path, coding):
    weights = {f"l{bits}.weight": form_of(bits, (9, 9), 1 if bits % 2 else 9) for bits in range(1, 9)}
    nodes = [
        Node(f"l{b}", "linear", ("x" if b == 1 else f"l{b - 1}",), {}, {"weight": f"l{b}.weight"}) for b in range(1, 9)
    ]
    up = form_of(8, (9, 2, 2, 2), 2, 1)
    weights["up.weight"] = up
    nodes.append(Node("up", "conv_transpose2d", ("m",), {}, {"weight": "up.weight"}))
    graph = Graph({"x": (9,), "m": (3, 3, 9)}, nodes, ("l8", "up"), weights)
    table = write(tmp_path / "n.pare", Contents(graph), coding)
    theirs = read(tmp_path / "n.pare").graph
    assert all(form.equals(theirs.weights[name]) for name, form in weights.items())
    assert table.total == (tmp_path / "n.pare").stat().st_size


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Integer(np.array([-128]), [1.0]), "out of range"),
        (lambda: Integer(np.array([2]), [1.0], 2), "out of range"),
        (lambda: Integer(np.array([0, 1]), [1.0], 1), "out of range"),
        (lambda: Integer(np.array([1.0]), [1.0]), "not integers"),
        (lambda: Integer(np.array([1]), [0.0]), "not positive"),
        (lambda: Integer(np.array([1]), [-1.0]), "not positive"),
        (lambda: Integer(np.array([1]), [np.nan]), "not positive"),
        (lambda: Integer(np.array([1]), [1e38]), "not finite"),
        (lambda: Integer(np.array([1]), [1e-60]), "not positive"),
        (lambda: Integer(np.array([[1], [1]]), [1.0, 1.0, 1.0]), "do not fit"),
        (lambda: Integer(np.array([[1, 1]]), [1.0], 8, 1), "axis"),
        (lambda: Integer(np.array([[1, 1]]), [1.0, 2.0]), "do not fit"),
        (lambda: Integer(np.array([1]), [1.0], 9), "width"),
        (lambda: Integer(np.array([1]), [1.0], 0), "width"),
        (
            lambda: Integer.from_arrays(
                (2,), {"bits": 2, "channels": 1, "axis": 0}, {"scales": np.ones(1), "symbols": np.array([3, 0])}
            ),
            "symbol",
        ),
        (
            lambda: Integer.from_arrays(
                (2,), {"bits": 2, "channels": 1, "axis": 0}, {"scales": np.ones(2), "symbols": np.array([1, 0])}
            ),
            "number of scales",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused(make, says):
    with pytest.raises(FormatError, match=says):
        make()
