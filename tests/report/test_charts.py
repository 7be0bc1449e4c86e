import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paring.report import GraphNode, Histogram
from paring.report._charts import MAX_LANES, ErrorAxis, bar, dot_row, histogram, rail

errors = st.lists(st.one_of(st.just(0.0), st.floats(1e-5, 1.0)), min_size=1, max_size=20)


@given(errors)
def test_the_axis_keeps_every_error_inside_and_in_order(values):
    axis = ErrorAxis(values)
    places = [axis.place(value) for value in sorted(values)]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert all(a <= b + 1e-12 for a, b in pairwise(places))
    assert 2 <= len(axis.ticks) <= 7
    assert axis.place(axis.ticks[-1]) == pytest.approx(1)


def test_the_axis_is_logarithmic_only_when_errors_differ_by_much():
    assert not ErrorAxis([0.0074, 0.0102]).log
    assert ErrorAxis([0.0074, 0.63]).log
    assert ErrorAxis([]).ticks
    assert ErrorAxis([0.0]).ticks


def test_a_bar_starts_at_zero_and_stacks():
    marks = re.findall(r'x="([\d.]+)%" width="([\d.]+)%', bar(("a", 0.25), ("b", 0.5), ("c", 0.0)))
    assert marks == [("0.000", "25.000"), ("25.000", "50.000")]


def test_a_tiny_share_still_leaves_a_mark():
    assert 'width="1.5"' in bar(("a", 1e-7))


def test_a_histogram_says_what_it_shows_and_escapes_it():
    drawing = histogram(Histogram("w", -1, 1, (1,), (0,)), '"><script>')
    assert 'role="img" aria-label="&quot;&gt;&lt;script&gt;"' in drawing


def areas(drawing: str, kind: str, bins: int) -> dict[int, tuple[float, float]]:
    """Bin number to (bottom, top) of each of a histogram's bars of one kind."""
    paths = re.findall(rf'class="mark {kind}" d="([^"]*)"', drawing)
    step = 320 / bins
    found = {}
    for x, foot, top in re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)h", "".join(paths)):
        found[round(float(x) / step)] = (100 - float(foot), 100 - float(top))
    return found


def test_histogram_heights_go_with_the_square_root_of_the_counts():
    kept, pruned = (4, 0, 0, 25), (0, 100, 75, 0)
    drawing = histogram(Histogram("w", -1, 1, kept, pruned), "w")
    tops = {}
    for kind in ("kept", "pruned"):
        for i, (_, top) in areas(drawing, kind, 4).items():
            tops[i] = max(tops.get(i, 0), top)
    for i, (k, p) in enumerate(zip(kept, pruned, strict=True)):
        assert tops[i] == pytest.approx(100 * np.sqrt((k + p) / 100), abs=0.06)


def test_a_mixed_bin_is_split_in_proportion_without_a_gap():
    drawing = histogram(Histogram("w", -1, 1, (30, 1), (10, 0)), "w")
    assert areas(drawing, "kept", 2)[0] == pytest.approx((0, 75), abs=0.06)
    assert areas(drawing, "pruned", 2)[0] == pytest.approx((75, 100), abs=0.06)


def test_one_weight_among_millions_is_seen():
    drawing = histogram(Histogram("w", -1, 1, (1, 0), (0, 10_000_000)), "w")
    assert areas(drawing, "kept", 2)[0][1] >= 1


def test_every_centroid_has_a_tick_at_its_value():
    centroids = (-0.5, 0.25, 1.0)
    path = re.search(r'centroid" d="([^"]*)"', histogram(Histogram("w", -1, 1, (1, 1), (0, 0), centroids), "w"))
    ticks = [float(x) for x in re.findall(r"M([\d.]+)", path[1])]
    assert ticks == pytest.approx([320 * (c + 1) / 2 for c in centroids], abs=0.05)


def test_a_row_without_an_error_has_no_dot():
    axis = ErrorAxis([0.1, 0.2])
    assert "circle" not in dot_row(axis, 0.1, None, 0.2)
    assert dot_row(axis, 0.1, 0.2, None).count('class="join"') == 1


def chain(*edges: tuple[str, ...]) -> list[GraphNode]:
    return [GraphNode(name, "add", tuple(inputs), (1,)) for name, *inputs in edges]


def lane_ends(drawings: list[str]) -> list[list[tuple[int, str, int, str]]]:
    """For each row, (lane, height, lane, height) of its segments' ends, read from the drawing."""
    pattern = r'x1="(\d+)" y1="([^"]+)" x2="(\d+)" y2="([^"]+)"'
    rows = []
    for drawing in drawings:
        rows.append(
            [((int(a) - 10) // 12, y0, (int(b) - 10) // 12, y1) for a, y0, b, y1 in re.findall(pattern, drawing)]
        )
    return rows


def follow(rows: list, start: int) -> set[int]:
    """Rows a value made in row ``start`` is drawn to, found by walking the lines down."""
    reached: set[int] = set()
    lanes = {b for a, y0, b, y1 in rows[start] if (a, y0, y1) == (0, "50%", "100%")}
    for i in range(start + 1, len(rows)):
        here = {(a, y0, b, y1) for a, y0, b, y1 in rows[i]}
        following = set()
        for lane in lanes:
            if (0, "50%", lane, "0") in here or (lane == 0 and (0, "0", 0, "50%") in here):
                reached.add(i)
            if lane and (lane, "0", lane, "100%") in here:
                following.add(lane)
        lanes = following
    return reached


def test_a_chain_needs_no_lane():
    drawings, lanes = rail(chain(("a",), ("b", "a"), ("c", "b")))
    assert lanes == 0
    assert follow(lane_ends(drawings), 0) == {1}


def test_lanes_lead_each_value_to_each_of_its_readers_and_are_reused():
    nodes = chain(("a",), ("b", "a"), ("c", "b", "a"), ("d", "c"), ("e", "d", "c", "a"), ("f", "e"), ("g", "f", "e"))
    drawings, lanes = rail(nodes)
    rows = lane_ends(drawings)
    place = {node.name: i for i, node in enumerate(nodes)}
    for node in nodes:
        readers = {i for i, other in enumerate(nodes) if node.name in other.inputs}
        assert follow(rows, place[node.name]) == readers, node.name
    assert lanes == 2


def test_dense_connections_stop_at_the_widest_rail():
    names = [f"n{i}" for i in range(40)]
    nodes = [GraphNode(name, "concat", tuple(names[:i]), (1,)) for i, name in enumerate(names)]
    drawings, lanes = rail(nodes)
    assert lanes == MAX_LANES
    assert max(int(x) for d in drawings for x in re.findall(r'x\d="(\d+)"', d)) <= 10 + 12 * MAX_LANES
