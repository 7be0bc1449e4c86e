"""Every relative link and anchor of every page leads somewhere; so does every page that code or text names."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
SOURCES = [
    p
    for d in ("src", "tests", "benchmarks", "native")
    for p in (ROOT / d).rglob("*")
    if p.suffix in {".py", ".h", ".cc"}
]
#: Files of the worked examples, which the page holds and the tree does not.
EXAMPLES = set(re.findall(r"<!-- file: (\S+) -->", (ROOT / "docs" / "contributing.md").read_text()))


def prose(text: str) -> str:
    """The page without its code: fences and code spans hold no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE))


def links(text: str) -> list[str]:
    found = re.findall(r"\]\(\s*([^)\s]+)[^)]*\)", prose(text)) + re.findall(
        r"^\[[^\]]+\]:\s*(\S+)", prose(text), re.MULTILINE
    )
    return [link for link in found if not re.match(r"[a-z][a-z+.-]*:", link)]


@cache
def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lower case, punctuation gone, blanks to hyphens, a number behind the second of a kind."""
    found: dict[str, int] = {}
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for title in re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        if count:
            found[f"{slug}-{count}"] = 1
    return set(found)


def broken(page: Path) -> list[str]:
    wrong = []
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert broken(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_named_exist(page):
    if page.name == "CHANGELOG.md":
        return  # it also names what is gone
    named = set(re.findall(r"(?<![\w/])(?:benchmarks|tests)/[\w/]+\.py", page.read_text())) - EXAMPLES
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_pages_named_in_code_exist():
    wrong = []
    for path in SOURCES:
        if path != Path(__file__):
            named = set(re.findall(r"(?<![\w/])docs/[\w/]+\.md", path.read_text())) - EXAMPLES
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in named if not (ROOT / name).exists()]
    assert wrong == []


def test_every_page_is_reached_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in seen:
            seen.add(page)
            paths = [(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text())]
            todo += [path for path in paths if path.suffix == ".md" and path.exists()]
    pages = {page for page in PAGES if ROOT / "docs" in page.parents}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - seen) == []


def test_a_wrong_link_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `b` title\n[a](#a-b-title) [b](other.md) [c](#none) [d](https://x.y/z) `[e](f.md)`\n")
    assert broken(page) == ["other.md", "#none"]
