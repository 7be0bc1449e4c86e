import heapq
from collections import Counter

import numpy as np
import pytest

from paring.report._paper import TABLES, coding_rows, paper_table
from tests.report import examples


def naive_entries(values: np.ndarray, reach: int) -> list[tuple[int, int]]:
    """(zeros skipped, code) of every non-zero and every filler, one weight at a time."""
    entries, skipped = [], 0
    for value in values.ravel().tolist():
        if value:
            entries.append((skipped, value))
            skipped = 0
        elif skipped == reach - 1:
            entries.append((skipped, 0))
            skipped = 0
        else:
            skipped += 1
    while entries and entries[-1][1] == 0:
        entries.pop()
    return entries


def naive_huffman(symbols: list[int]) -> float:
    """Mean bits of a symbol: the sum of the weights of all merges over the number of symbols."""
    heap = list(Counter(symbols).values())
    heapq.heapify(heap)
    bits = len(symbols) if len(heap) == 1 else 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        bits += merged
        heapq.heappush(heap, merged)
    return bits / len(symbols)


def test_lines_are_what_a_naive_count_gives():
    graph, _ = examples.lenet()
    rows, source = coding_rows(graph, dict.fromkeys(graph.weights, 7))
    assert source == "table 3, LeNet-5"
    assert [(row.layer, row.paper_layer) for row in rows] == [
        ("conv1.weight", "conv1"),
        ("conv2.weight", "conv2"),
        ("fc1.weight", "ip1"),
        ("fc2.weight", "ip2"),
        ("total", "total"),
    ]
    entries_of_all = 0
    for row in rows[:-1]:
        form, ours = graph.weights[row.layer], row.ours
        entries = naive_entries(form.indices, 32)
        entries_of_all += len(entries)
        bits = int(np.ceil(np.log2(len(form.centroids))))
        assert (ours.weights, ours.weight_bits_pq, ours.index_bits_pq) == (form.size, bits, 5)
        assert ours.kept == np.count_nonzero(form.dense()) / form.size
        assert ours.weight_bits_pqh == pytest.approx(naive_huffman([code for _, code in entries]))
        assert ours.index_bits_pqh == pytest.approx(naive_huffman([gap for gap, _ in entries]))
        book = 32 * 2**bits
        assert ours.size_pq == pytest.approx((len(entries) * (bits + 5) + book) / (32 * form.size))
        mean = ours.weight_bits_pqh + ours.index_bits_pqh
        assert ours.size_pqh == pytest.approx((len(entries) * mean + book) / (32 * form.size))
        # The bytes add the tables of code lengths and count the centroids that there are.
        assert row.huffman >= len(entries) * mean / 8 + 4 * len(form.centroids)
        assert row.huffman <= len(entries) * mean / 8 + 4 * len(form.centroids) + 64
        assert row.file == 7
    total = rows[-1]
    assert total.total
    assert total.ours.weights == 430_500
    assert total.huffman == sum(row.huffman for row in rows[:-1])
    assert total.file == 28


def test_a_network_that_is_not_the_papers_stands_alone():
    graph, _ = examples.residual(2)
    rows, source = coding_rows(graph, dict.fromkeys(graph.weights, 1))
    assert source == ""
    assert len(rows) == 5  # four shared kernels and the total; the float head has no line
    assert all(row.paper is None for row in rows)


def test_a_network_without_shared_weights_has_no_line():
    graph, _ = examples.lenet()
    graph = graph.dense_copy()
    assert coding_rows(graph, dict.fromkeys(graph.weights, 1)) == ((), "")


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.source)
def test_the_papers_lines_agree_with_its_layers(table):
    *layers, (label, total) = table.layers
    assert label == "total"
    assert len(layers) == len(table.counts)
    for count, (_, line) in zip(table.counts, layers, strict=True):
        assert line.weights == pytest.approx(count, rel=0.36 if count > 1e6 else 0.16)
        assert 0 < line.size_pqh < line.size_pq < 1
        assert line.index_bits_pqh <= line.index_bits_pq
    # The printed lines do not add up to the printed totals exactly.
    kept = sum(count * line.kept for count, (_, line) in zip(table.counts, layers, strict=True)) / sum(table.counts)
    assert kept == pytest.approx(total.kept, abs=0.006)
    size = sum(count * line.size_pqh for count, (_, line) in zip(table.counts, layers, strict=True)) / sum(table.counts)
    assert size == pytest.approx(total.size_pqh, rel=0.08)
    assert paper_table(table.counts) is table


def test_the_papers_totals():
    # Deep Compression, table 1: how many times smaller.
    assert [round(1 / table.layers[-1][1].size_pqh) for table in TABLES] == [40, 39, 35, 49]
