"""The report in a real browser: nothing overlaps, nothing is empty, nothing sticks out, nothing is fetched."""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest

from paring.report import render
from tests.report import examples

HEADINGS = [
    "Where the bytes are",
    "The weights",
    "Accuracy, stage by stage",
    "Time",
    "Beside the paper",
    "Network card",
]
WIDTHS = (1280, 390)

#: Runs inside the page under test and posts what it sees to the frame's owner.
PROBE = """
for (const details of document.querySelectorAll("details")) details.open = true;
const seen = {charts: [], overlaps: [], covered: []};
const box = r => [r.left, r.top, r.right, r.bottom];
const meet = (a, b) => a[0] < b[2] - 1 && b[0] < a[2] - 1 && a[1] < b[3] - 1 && b[1] < a[3] - 1;
for (const chart of document.querySelectorAll("[data-chart]")) {
  const texts = [], walker = document.createTreeWalker(chart, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, style = getComputedStyle(node.parentElement);
    if (!node.data.trim() || node.parentElement.closest(".hidden") || style.display === "none") continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) if (r.width > 0) texts.push([node, box(r)]);
  }
  texts.sort((a, b) => a[1][1] - b[1][1]);
  for (let i = 0; i < texts.length; i++) {
    for (let j = i + 1; j < texts.length && texts[j][1][1] < texts[i][1][3]; j++) {
      if (texts[i][0] !== texts[j][0] && meet(texts[i][1], texts[j][1])) {
        seen.overlaps.push([chart.dataset.chart, texts[i][0].data, texts[j][0].data]);
      }
    }
  }
  for (const drawing of chart.querySelectorAll("svg")) {
    const r = box(drawing.getBoundingClientRect());
    for (const [node, t] of texts) if (meet(r, t)) seen.covered.push([chart.dataset.chart, node.data]);
  }
  const marks = [...chart.querySelectorAll("svg .mark")].map(mark => mark.getBoundingClientRect());
  const size = chart.getBoundingClientRect();
  seen.charts.push({
    kind: chart.dataset.chart, width: size.width, height: size.height, marks: marks.length,
    empty: marks.filter(r => !(r.width > 0 && r.height > 0)).length, texts: texts.length,
  });
}
seen.headings = [...document.querySelectorAll("section > h2")].map(h => h.textContent);
seen.hidden = [...document.querySelectorAll("h1, h2, h3")].filter(h => h.getBoundingClientRect().height < 5).length;
seen.overflow = document.documentElement.scrollWidth - innerWidth;
seen.width = innerWidth;
seen.fetched = performance.getEntriesByType("resource").map(entry => entry.name);
seen.title = document.title;
seen.scripts = document.scripts.length;
seen.images = document.images.length;
seen.smallest = Math.min(...[...document.querySelectorAll("body *")]
  .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
  .map(e => parseFloat(getComputedStyle(e).fontSize)));
parent.postMessage(JSON.stringify(seen), "*");
"""

#: Shows the page once in every width and collects what the probes see.
OUTER = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0"><pre id="seen"></pre>
<script>
const seen = [];
addEventListener("message", event => {
  seen.push(JSON.parse(event.data));
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
for (const width of WIDTHS) {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:3000px;border:0`;
  frame.src = "page.html";
  document.body.append(frame);
}
</script></body>
"""


def browser() -> str:
    wanted = os.environ.get("PARING_BROWSER")
    names = [wanted] if wanted else ["chromium", "chromium-browser", "google-chrome", "chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)} on PATH, and PARING_BROWSER names no other")
    return found


def dump(folder, url: str) -> tuple[str, list[str]]:
    """The document after its scripts have run, and what it wrote to the console."""
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    flags += " --disable-sync --no-first-run --disable-extensions --enable-logging=stderr --virtual-time-budget=20000"
    command = [browser(), *flags.split(), f"--user-data-dir={folder / 'profile'}", "--window-size=1400,3000"]
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """(example, width) to what the probe saw there; a page is opened once for all widths."""
    known = {}

    def look(name: str, width: int) -> dict:
        if (name, width) not in known:
            folder = tmp_path_factory.mktemp("look")
            page = render(examples.ALL[name]())
            # The page forbids every script but its own; the probe is let in by hand.
            opened = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", page, count=1)
            assert opened != page
            (folder / "page.html").write_text(opened.replace("</body>", f"<script>{PROBE}</script></body>"), "utf-8")
            (folder / "outer.html").write_text(OUTER.replace("WIDTHS", str(list(WIDTHS))), "utf-8")
            document, console = dump(folder, (folder / "outer.html").as_uri())
            found = re.search(r'<pre id="seen">(.+?)</pre>', document, re.S)
            assert found, f"the probes did not answer: {console}"
            for answer in json.loads(unescape(found[1])):
                known[name, answer["width"]] = answer | {"console": console}
        return known[name, width]

    return look


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", examples.ALL)
class TestPage:
    def test_all_headings_are_there(self, seen, name, width):
        page = seen(name, width)
        assert page["headings"] == HEADINGS
        assert page["hidden"] == 0

    def test_every_chart_has_a_size_and_marks(self, seen, name, width):
        charts = seen(name, width)["charts"]
        assert len(charts) >= 5
        for chart in charts:
            assert chart["width"] > 200, chart
            assert chart["height"] > 40, chart
            assert chart["texts"] > 0, chart
            if chart["kind"] != "paper":
                assert chart["marks"] > 0, chart
            assert chart["empty"] == 0, chart

    def test_no_text_lies_on_another_or_on_a_drawing(self, seen, name, width):
        page = seen(name, width)
        assert page["overlaps"] == []
        assert page["covered"] == []

    def test_nothing_sticks_out(self, seen, name, width):
        assert seen(name, width)["overflow"] <= 0

    def test_text_can_be_read(self, seen, name, width):
        assert seen(name, width)["smallest"] >= 12

    def test_nothing_is_fetched_and_nothing_complains(self, seen, name, width):
        page = seen(name, width)
        assert page["fetched"] == []
        assert page["console"] == []

    def test_names_are_not_run(self, seen, name, width):
        page = seen(name, width)
        assert page["title"].endswith("– Paring report")
        assert page["images"] == 0
        assert page["scripts"] == 2  # the page's own and the probe


@pytest.mark.parametrize("name", ["lenet", "hostile"])
def test_the_page_as_written_runs_its_own_script_and_no_other(tmp_path, name):
    page = render(examples.ALL[name]())
    (tmp_path / "page.html").write_text(page, "utf-8")
    _, console = dump(tmp_path, (tmp_path / "page.html").as_uri())
    assert console == []
    (tmp_path / "page.html").write_text(page.replace("</body>", "<script>document.title='in'</script></body>"), "utf-8")
    document, console = dump(tmp_path, (tmp_path / "page.html").as_uri())
    assert "<title>in</title>" not in document
    assert any("Content Security Policy" in line for line in console)
