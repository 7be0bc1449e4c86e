"""Which layers keep their bits."""

import pytest
from torch import nn

from paring.capture import capture
from paring.errors import ArgumentError
from paring.methods.integer import mixed_widths, quantize


def graph():
    net = nn.Sequential(
        *(nn.Conv2d(3, 40, 3), nn.ReLU(), nn.Conv2d(40, 40, 3, groups=40), nn.ReLU()),  # 1,080 and 360 weights
        *(
            nn.Conv2d(40, 60, 1),
            nn.ReLU(),
            nn.Conv2d(60, 120, 1),
            nn.Flatten(),
            nn.Linear(480, 10),
        ),  # 2,400, 7,200
    )
    return capture(net.eval(), (3, 6, 6))


@pytest.mark.parametrize(
    ("share", "wide"),
    [(0.0, {"0"}), (0.03, {"0", "2"}), (0.1, {"0", "2"}), (0.25, {"0", "2", "4"}), (1.0, {"0", "2", "4", "6", "8"})],
)
def test_the_smallest_layers_within_the_share_and_the_first_stay_wide(share, wide):
    """Of 15,840 weights 360 are 2.3 %, 1,440 are 9.1 % and 3,840 are 24.2 %."""
    found = mixed_widths(graph(), 4, share)
    assert next(iter(found)) == "*"
    assert found == {"*": 4, **dict.fromkeys(wide, 8)}


def test_quantize_takes_them():
    made = quantize(graph(), weights=mixed_widths(graph(), 3, 0.25, 6), activations=None)
    assert [layer.after for layer in made.rows] == [6, 6, 6, 3, 3]


def test_what_cannot_be():
    for arguments in ((9,), (4, 0.1, 1)):
        with pytest.raises(ArgumentError, match="width of an integer"):
            mixed_widths(graph(), *arguments)
    with pytest.raises(ArgumentError, match="share of the weights"):
        mixed_widths(graph(), 4, 1.5)
