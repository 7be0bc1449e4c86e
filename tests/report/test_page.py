import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import pytest

from paring.errors import ArgumentError, OutputError
from paring.report import PARTS, Section, render, write_page
from tests.report import examples

VOID = {"meta", "link", "wbr", "br", "img"}


class Page(HTMLParser):
    """Tags and text of a page, with the check that every element is closed by its own end tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return "".join(text for tag, text in self.texts if tag not in ("style", "script")).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(make()) for name, make in examples.ALL.items()}


@pytest.mark.parametrize("name", examples.ALL)
def test_the_page_is_well_formed_and_asks_for_nothing(pages, name):
    page = Page(pages[name])
    assert len(page.all("script")) == len(page.all("style")) == len(page.all("h1")) == 1
    assert page.all("script")[0] == {}
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "object", "embed", "base", "form"}
    for tag, attrs in page.tags:
        assert "src" not in attrs
        assert not [key for key in attrs if key.startswith("on")], tag
        assert attrs.get("href", "#").startswith("#") or attrs["href"] == "data:,"
    style = next(text for tag, text in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("name", examples.ALL)
def test_every_section_has_its_heading_and_its_link(pages, name):
    page = Page(pages[name])
    ids = [attrs["id"] for attrs in page.all("section")]
    assert ids == ["bytes", "weights", "recipe", "time", "paper", "card"]
    assert [attrs["href"] for attrs in page.all("a")] == [f"#{key}" for key in ids]
    headings = {attrs["id"] for attrs in page.all("h2") if "id" in attrs}
    assert headings == {attrs["aria-labeledby"] for attrs in page.all("section")}


@pytest.mark.parametrize("name", examples.ALL)
def test_tables_have_headers_and_drawings_a_description(pages, name):
    page = Page(pages[name])
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attrs.get("scope") for attrs in page.all("th"))
    for attrs in page.all("svg"):
        assert attrs.get("aria-hidden") == "true" or (attrs["role"] == "img" and attrs["aria-label"])


def test_the_page_stays_small(pages):
    assert len(pages["lenet"].encode()) < 100_000
    assert len(pages["long"].encode()) < 1_000_000


def test_the_same_report_makes_the_same_page(pages):
    assert render(examples.lenet_report()) == pages["lenet"]


def test_numbers_of_the_headline(pages):
    report, text = examples.lenet_report(), Page(pages["lenet"]).text
    assert f"{report.bytes:,} bytes" in text
    assert "1,724,320 bytes as 32-bit floats" in text
    assert "0.74 %" in text
    assert "0.80 % before: 0.06 points better" in text
    assert "Measured on 10,000 images of mnist test" in text
    assert "312 µs in torch 2.13.0, float32: the engine is 3.76× faster" in text
    assert "engine, batch 1, 1 thread, avx512, 200 runs" in text
    assert "simulated" not in re.sub(r"only simulated says so", "", text)


def test_the_byte_columns_add_up_to_the_file(pages):
    report = examples.lenet_report()
    table = re.search(r'<table class="bars">.*?</table>', pages["lenet"], re.S)[0]
    rows = re.findall(r"<tr><th.*?</tr>", re.search(r"<tbody>(.*)</tbody>", table, re.S)[1], re.S)
    in_file = [int(re.findall(r'label="In the file">([\d,]+)<', row)[0].replace(",", "")) for row in rows]
    assert sum(in_file) == report.bytes
    section = re.search(r"Every section of the file.*?</table>", pages["lenet"], re.S)[0]
    sizes = [int(size.replace(",", "")) for size in re.findall(r'label="Bytes">([\d,]+)<', section)]
    assert sum(sizes[:-1]) == sizes[-1] == report.bytes


def test_sections_that_do_not_add_up_are_refused():
    report = examples.bare_report()
    with pytest.raises(ArgumentError, match="do not add up"):
        replace(report, sections=(*report.sections, Section("extra", "x", 1)))


def test_a_part_without_data_is_one_sentence_and_no_plot(pages):
    page = Page(pages["bare"])
    charts = {attrs["data-chart"] for _, attrs in page.tags if "data-chart" in attrs}
    assert charts == {"scale", "bytes-by-layer", "bytes-by-kind", "histograms", "graph"}
    for key in ("accuracy", "latency", "recipe", "time", "paper"):
        assert page.text.count(PARTS[key]) == 1
    reason = "The run was made with an earlier version."
    assert reason in render(replace(examples.bare_report(), absent={"recipe": reason}))


def test_a_network_without_weights_has_a_page():
    report = replace(
        examples.bare_report(),
        layers=(),
        histograms=(),
        nodes=(),
        sections=(Section("header", "header", 64),),
        bytes=64,
    )
    assert PARTS["weights"] in Page(render(report)).text


def test_simulated_numbers_say_so():
    report = examples.lenet_report()
    page = render(replace(report, accuracy=replace(report.accuracy, simulated=True)))
    assert '<mark class="simulated">simulated</mark>' in page


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(0.01, 0.02, "1.00 points worse"), (0.02, 0.01, "1.00 points better"), (0.01, 0.01, "no change")],
)
def test_a_worse_network_is_called_worse(before, after, words):
    report = examples.lenet_report()
    assert words in render(replace(report, accuracy=replace(report.accuracy, before=before, after=after)))


def test_a_slower_engine_is_called_slower():
    report = examples.lenet_report()
    engine, torch, _ = report.timings
    page = Page(render(replace(report, timings=(replace(engine, median=2 * torch.median), torch))))
    assert "the engine is 2.00× slower" in page.text


def test_timings_under_other_conditions_are_not_compared():
    report = examples.lenet_report()
    engine, torch, _ = report.timings
    for other in (replace(torch, threads=2), replace(torch, batch=8), replace(torch, machine="elsewhere")):
        assert "faster" not in Page(render(replace(report, timings=(engine, other)))).text


def test_names_from_strangers_stay_names(pages):
    page = Page(pages["hostile"])
    assert page.text.count("<script>document.title='owned'</script>") > 20
    assert not set("\x1b\x00\u202e") & set(pages["hostile"])
    assert pages["hostile"].encode("utf-8")
    for tag, text in page.texts:
        if tag == "script":
            assert text == resources.files("paring.report").joinpath("page.js").read_text("utf-8")


def test_write_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    assert write_page(path, "first") == path
    write_page(str(path), "second")
    assert path.read_text() == "second"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_page(path, "third")
    assert path.read_text() == "second"
    assert os.listdir(tmp_path) == ["report.html"]


def test_write_into_a_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(OutputError, match="Make the folder first"):
        write_page(tmp_path / "none" / "report.html", "x")


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast_of_text_and_marks(scheme):
    style = resources.files("paring.report").joinpath("page.css").read_text("utf-8")
    block = re.findall(r":root \{(.*?)\}", style, re.S)[scheme]
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", block))
    colors = {key: c if len(c) == 7 else "#" + "".join(2 * digit for digit in c[1:]) for key, c in colors.items()}
    for ground in ("paper", "card", "tint"):
        for ink in ("ink", "soft", "accent", "warn"):
            assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
    for mark in ("before", "after", "mark"):
        assert contrast(colors[mark], colors["card"]) >= 3, mark
    assert contrast(colors["after"], colors["pruned"]) >= 2.3


def test_the_report_needs_numpy_only():
    code = "import sys, paring.report; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    extras = {"torch", "rich", "typer", "PIL", "matplotlib", "scipy"}
    assert not {name.split(".")[0] for name in loaded} & extras
