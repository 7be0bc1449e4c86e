"""The table of methods says what the registry says."""

from pathlib import Path

from paring.methods import methods

PAGES = Path(__file__).resolve().parents[2] / "docs" / "methods"


def row(method):
    amounts = ", ".join(f"`{name}=`" for a in method.amounts for name in (a.name, a.complement) if name)
    page = f"[{method.page.removesuffix('.md').replace('_', ' ')}]({method.page})"
    return f"| `{method.name}` | {method.about} | {amounts} | {method.needs} | {method.form} | {page} |"


def test_every_method_has_its_row_and_no_other_has():
    lines = (PAGES / "README.md").read_text().splitlines()
    first = lines.index("| method | what it does | how much | data | becomes | page |") + 2
    found = lines[first : lines.index("", first)]
    known = {m.name: m for m in methods().values() if m.apply.__module__.startswith("paring.")}
    assert found == [row(m) for m in sorted(known.values(), key=lambda m: (m.kind, m.name))]
    assert all((PAGES / m.page).exists() for m in known.values())


def test_every_method_is_handed_on_by_its_name():
    import paring.methods

    for method in methods().values():
        if method.apply.__module__.startswith("paring."):
            assert getattr(paring.methods, method.name) is method.apply
