"""The cost model and the cards check each other, on every network of the zoo."""

import pytest

torch = pytest.importorskip("torch")

from paring import zoo  # noqa: E402
from paring.capture import outline, tally, without_initialization  # noqa: E402
from paring.graph import cost  # noqa: E402

#: The card counts the connections of 1998; a graph keeps the zeros between them as weights.
KEEPS_ZEROS = ("lenet_5_1998",)


COUNTED_TWICE = (
    *("lenet_5_caffe", "resnet20", "mobilenet_v2", "googlenet", "shufflenet_v1", "xnor_net_lenet_5"),
    *("factorized_topological", "factorized_bottleneck"),
)


def agrees(card, found):
    """Cards give MACs to five digits or the nearest 10,000."""
    return found.parameters == card.parameters and abs(found.macs - card.macs) <= 5001


def built(name):
    with without_initialization():
        return zoo.create(name), zoo.card(name)


@pytest.mark.parametrize("name", [n for n in zoo.list() if n not in KEEPS_ZEROS])
def test_the_published_numbers(name):
    network, card = built(name)
    assert agrees(card, cost(outline(network, card.input_shape)))


@pytest.mark.parametrize("name", COUNTED_TWICE)
def test_counting_calls_and_counting_the_graph_agree(name):
    network, card = built(name)
    by_call, by_graph = tally(network, card.input_shape), cost(outline(network, card.input_shape))
    assert (by_call.parameters, by_call.macs) == (by_graph.parameters, by_graph.macs)
    per_layer = {row.name: row.macs for row in by_graph.rows if row.macs}
    assert {row.name: row.macs for row in by_call.rows if row.macs} == per_layer


def test_what_the_graph_of_a_partial_connection_costs():
    network, card = built("lenet_5_1998")
    assert tally(network, card.input_shape).parameters == 60_000
    rows = {row.name: row for row in cost(outline(network, card.input_shape)).rows}
    assert (rows["c3"].parameters, rows["c3"].macs) == (2_416, 240_000)
