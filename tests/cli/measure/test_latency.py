import numpy as np
import pytest

from paring.cli.measure._latency import Latency, alternate
from paring.cli.measure._scoring import Score


def test_programs_run_by_turns_and_the_first_turn_is_warm_up():
    calls = []
    found = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, seconds=1e-6, chunk=0.0)
    rounds = len(calls) // 6
    assert rounds >= 2
    assert calls == (["a"] * 3 + ["b"] * 3) * rounds
    assert [len(latency.seconds) for latency in found.values()] == [3 * (rounds - 1)] * 2


def test_latency_in_milliseconds():
    latency = Latency(np.arange(1, 102) / 1000)
    assert (latency.low, latency.median, latency.high) == pytest.approx((11, 51, 91))


def test_score_against_a_loop():
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(50, 7)).astype(np.float32), rng.integers(0, 7, 50)
    found = Score(scores, labels, 1.0)
    for k in (1, 3, 7):
        missed = sum(
            label not in sorted(range(7), key=lambda c: -row[c])[:k] for row, label in zip(scores, labels, strict=True)
        )
        assert found.top(k) == missed / 50
    assert found.error == found.top(1) == found.wrong / 50
