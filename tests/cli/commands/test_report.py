import json

import pytest


def test_page_of_a_file(paring, pare, idx_folder, tmp_path):
    page = tmp_path / "page.html"
    code, out, _ = paring("report", pare, "--out", page, "--data", f"mnist:{idx_folder}", "--threads", 1, "--json")
    assert code == 0
    assert json.loads(out) == {"report": str(page), "bytes": page.stat().st_size}
    text = page.read_text()
    code, out, _ = paring("eval", pare, "--data", f"mnist:{idx_folder}", "--json")
    assert f"{100 * json.loads(out)['error']:.2f}" in text
    assert f"{pare.stat().st_size:,}" in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    for name in ("conv.weight", "fc.weight"):
        assert name in text


def test_page_beside_the_file(paring, pare, tmp_path):
    copy = tmp_path / "net.pare"
    copy.write_bytes(pare.read_bytes())
    code, out, _ = paring("report", copy, "--no-time")
    assert code == 0
    assert out == f"Report: {tmp_path / 'net.html'}\n"
    assert (tmp_path / "net.html").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{none}/x.pare"], 4, "file cannot be read"),
        (["{pare}", "--out", "{none}/missing/page.html"], 7, "missing: folder does not exist"),
        (["{pare}", "--out", "{none}/page.txt"], 2, "file name has another ending"),
        (["{pare}", "--out", "{none}/p.html", "--run", "{none}"], 6, "no record of a run"),
        (["{pare}", "--out", "{none}/p.html", "--data", "mnist:{none}"], 3, "no images of the t10k set"),
    ],
)
def test_mistakes(paring, pare, tmp_path, words, code, message):
    found, out, err = paring("report", *(word.format(pare=pare, none=tmp_path) for word in words))
    assert (found, out) == (code, "")
    assert message in err
    assert not list(tmp_path.iterdir())
