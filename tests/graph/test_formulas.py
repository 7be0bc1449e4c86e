import numpy as np
import pytest

from paring.errors import ArgumentError
from paring.forms import Dense
from paring.graph import Graph, Node, cost, formulas


def counted(size, channels, *layers):
    """MACs of a chain of same-size convolutions ``(out, kernel, groups)`` by the cost model."""
    nodes, weights, name, c = [], {}, "x", channels
    for i, (out, (kh, kw), groups) in enumerate(layers):
        weights[f"c{i}.weight"] = Dense(np.ones((out, c // groups, kh, kw), np.float32))
        padding = (kh // 2, kh // 2, kw // 2, kw // 2)
        nodes.append(
            Node(f"c{i}", "conv2d", (name,), {"padding": padding, "groups": groups}, {"weight": f"c{i}.weight"})
        )
        name, c = f"c{i}", out
    return cost(Graph({"x": (size, size, channels)}, nodes, (name,), weights)).macs


def test_separable_over_full():
    for n, k in ((512, 3), (64, 5), (1000, 1)):
        ratio = formulas.separable_macs(32, n, k, 14) / formulas.convolution_macs(32, n, k, 14)
        assert ratio == pytest.approx(formulas.separable_ratio(n, k), rel=1e-12)


def test_mobilenet_layer_of_the_paper():
    """512 -> 512 at 14x14: 462.4 M full, 52.3 M separable, 29.6 M at width 0.75, 15.1 M at resolution 0.714 as well."""
    assert formulas.convolution_macs(512, 512, 3, 14) == pytest.approx(462.4e6, rel=2e-4)
    assert formulas.separable_macs(512, 512, 3, 14) == pytest.approx(52.3e6, rel=1e-3)
    assert formulas.mobilenet_macs(512, 512, 3, 14, 0.75) == pytest.approx(29.6e6, rel=1e-3)
    assert formulas.mobilenet_macs(512, 512, 3, 14, 0.75, 0.714) == pytest.approx(15.1e6, rel=2e-3)


@pytest.mark.parametrize(
    ("channels", "area", "speedup"),
    [
        (256, 9, 62.2703),
        (512, 9, 63.1233),
        (256, 1, 51.2),
        (3, 1, 2.8657),
        (64, 9, 57.6),
        (96, 25, 62.34),
        (3, 121, 54.41),
    ],
)
def test_xnor_speedup(channels, area, speedup):
    assert formulas.xnor_speedup(channels, area) == pytest.approx(
        speedup, abs=6e-3 if speedup in (62.34, 54.41) else 6e-5
    )


def test_xnor_bytes_of_alexnet():
    """4,130,848 real and 58,236,928 binary parameters: 23.80 MB, 10.5 times less than float32."""
    size = formulas.binary_bytes(58_236_928, 4_130_848)
    assert size == pytest.approx(23.80e6, rel=1e-3)
    assert 4 * (58_236_928 + 4_130_848) / size == pytest.approx(10.5, abs=0.05)


def test_sharing_rate_of_the_papers_example():
    """Figure 3 of Deep Compression: 16 weights of 32 bits in 4 clusters, 16 x 32 / (4 x 32 + 2 x 16) = 3.2."""
    assert formulas.sharing_rate(16, 4) == pytest.approx(3.2)


def test_units_against_the_cost_model():
    one, three = (1, 1), (3, 3)
    assert formulas.resnet_unit_macs(256, 64, 14) == counted(14, 256, (64, one, 1), (64, three, 1), (256, one, 1))
    assert formulas.resnext_unit_macs(256, 128, 14, 32) == counted(
        14, 256, (128, one, 1), (128, three, 32), (256, one, 1)
    )
    assert formulas.shufflenet_unit_macs(240, 60, 28, 3) == counted(
        28, 240, (60, one, 3), (60, three, 60), (240, one, 3)
    )
    assert formulas.inverted_residual_macs(24, 24, 6, 56) == counted(
        56, 24, (144, one, 1), (144, three, 144), (24, one, 1)
    )


@pytest.mark.parametrize("wrong", [(10, 10, 1, 3), (12, 10, 1, 4), (12, 12, 1, 0)])
def test_groups_that_do_not_divide_are_refused(wrong):
    for formula in (formulas.resnext_unit_macs, formulas.shufflenet_unit_macs):
        with pytest.raises(ArgumentError, match="groups do not divide"):
            formula(*wrong)
    with pytest.raises(ArgumentError, match="3 groups of 10 and 12 channels"):
        formulas.shufflenet_unit_macs(10, 12, 1, 3)
    assert formulas.resnext_unit_macs(10, 12, 1, 3) == 2 * 10 * 12 + 9 * 12 * 12 // 3


def test_factorizations_against_the_cost_model():
    tall, wide = (3, 1), (1, 3)
    assert formulas.tucker2_macs(64, 96, 3, 14, 16, 24) == counted(
        14, 64, (16, (1, 1), 1), (24, (3, 3), 1), (96, (1, 1), 1)
    )
    assert formulas.cp_macs(64, 96, 3, 14, 20) == counted(
        14, 64, (20, (1, 1), 1), (20, tall, 20), (20, wide, 20), (96, (1, 1), 1)
    )
    assert formulas.separable_filters_macs(64, 96, 3, 14, 20) == counted(14, 64, (20, tall, 1), (96, wide, 1))
    assert formulas.flattened_macs(64, 96, 3, 14) == counted(14, 64, (96, (1, 1), 1), (96, tall, 96), (96, wide, 96))
    assert formulas.sic_macs(64, 96, 3, 14) == counted(14, 64, (64, (3, 3), 64), (96, (1, 1), 1))
    assert formulas.flattened_weights(64, 96, 3) == 96 * 64 + 96 * 3 + 96 * 3


def test_product_quantization_rate_counts_bits():
    """An 8 x 6 matrix in 3 segments of 2 columns, 4 centroids each: 4 x 2 numbers and 8 codes of 2 bits per segment."""
    stored = 3 * (4 * 2 * 32 + 8 * 2)
    assert formulas.product_quantization_rate(8, 6, 3, 4) == pytest.approx(8 * 6 * 32 / stored)
