"""How often ``paring compress`` builds, traces, reads and decodes: counted, for every recipe."""

from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from paring import zoo  # noqa: E402
from paring.capture import _trace  # noqa: E402
from paring.container import _file  # noqa: E402
from paring.networks import _build  # noqa: E402
from paring.recipes import RECIPES  # noqa: E402
from paring.recipes.run import _chain  # noqa: E402
from tests.cli.test_recipes import hasty, trained  # noqa: E402, F401

#: So that every recipe is through in a second.
OPTIONS = {
    "deep-compression": ["--effort", "0.1"],
    "int8": ["--calibrate", "20"],
    "q-cnn": ["--layers", "4", "-O", "length=2", "-c", "4"],
    "slim": ["--macs", "70%"],
}


@pytest.fixture
def counts(monkeypatch):
    """Calls so far, and those before the first step."""
    seen, before = Counter(), {}

    def counted(owner, name, what):
        real = getattr(owner, name)

        def call(*arguments, **options):
            seen[what] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, call)

    counted(_build, "make", "builds")
    counted(_trace, "record", "traces")
    counted(torch.export, "export", "traces")
    counted(zoo, "load_weights", "checkpoints")
    counted(_file, "_decode", "decodes")
    run = _chain.Chain.run

    def began(chain, state):
        before.update(seen)
        return run(chain, state)

    monkeypatch.setattr(_chain.Chain, "run", began)
    return seen, before


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_nothing_is_done_twice_before_the_first_step_or_after_the_last(
    paring,
    tiny,
    idx_folder,
    trained,  # noqa: F811
    tmp_path,
    counts,
    recipe,
):
    seen, before = counts
    words = ["compress", f"{tiny}:tiny", "--weights", trained, "--data", f"mnist:{idx_folder}", "--threads", 1]
    short = OPTIONS.get(recipe, ["--effort", "0.05", "--layers", "4"])
    page, file = tmp_path / "x.html", tmp_path / "x.pare"
    code, _, err = paring(*words, "--recipe", recipe, *short, "--report", page, "--out", file)
    assert code == 0, err
    assert before == {"builds": 1, "traces": 1, "checkpoints": 1}
    assert (seen["builds"], seen["checkpoints"]) == (1, 1)
    compared = 1 if RECIPES[recipe].compare else 0  # the second file's own read-back
    assert seen["decodes"] == 2 + compared  # the file's read-back, and once for all that is measured
