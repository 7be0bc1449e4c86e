import json

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")


def test_the_demo_on_a_small_set(paring, idx_folder, tmp_path, monkeypatch):
    """The demo itself, with a few synthetic digits in place of the 5,000 real ones, and a tenth of the epochs."""
    monkeypatch.setattr("paring.cli.commands.demo.EFFORT", 0.1)
    monkeypatch.setattr("paring.cli.commands.demo.DATA", f"mnist:{idx_folder}")
    out_folder = tmp_path / "demo"
    code, out, err = paring("demo", "--out", out_folder, "--threads", 1, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["bytes"] == (out_folder / "lenet.pare").stat().st_size
    assert found["float_bytes"] == 4 * 431_080
    assert found["ratio"] > 20
    assert (found["images"], found["same_class"]) == (100, 100)
    assert found["error"] < 0.9  # that of chance
    assert (out_folder / "report.html").stat().st_size > 10_000
    first = (out_folder / "lenet.pare").read_bytes()

    code, out, err = paring("demo", "--out", out_folder, "--threads", 1)
    assert code == 0, err
    assert "01-train: done before" in err
    assert (out_folder / "lenet.pare").read_bytes() == first
    code, out, err = paring("demo", "--out", out_folder, "--threads", 1, "--seed", 5)
    assert code == 0, err
    assert "beginning anew" in err
    assert (out_folder / "lenet.pare").read_bytes() != first
    for word in ("bytes", "test error", "median latency", "agreement", "report.html"):
        assert word in out


def test_mistakes(paring, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for words, code, message in [
        (["--out", tmp_path / "file"], 7, "file: cannot make the folder"),
        (["--threads", 0], 2, "invalid number of threads"),
        (["--speed"], 2, "No such option"),
    ]:
        found, out, err = paring("demo", *words)
        assert (found, out) == (code, "")
        assert message in err
