"""Write the tables of the pages in docs/zoo from the networks' cards.

A page asks for one by two comment lines, `<!-- cards: resnet18 resnet34 -->` and `<!-- end -->`; what is between them
is replaced. The figures on the cards are held by the tests, to the unit.

    python benchmarks/zoo_tables.py [--check]
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from paring import zoo

BLOCK = re.compile(r"<!-- cards: ([\w ]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def table(names: list[str]) -> str:
    rows = ["| network | input | parameters | MACs (M) | published accuracy |", "|---|---|---:|---:|---|"]
    for name in names:
        card = zoo.card(name)
        size = "x".join(map(str, (*card.resolution, card.channels)))
        accuracy = "; ".join(f"{label} {value:g} ({where})" for label, (value, where) in card.accuracy.items()) or "-"
        rows.append(f"| `{name}` | {size} | {card.parameters:,} | {card.macs / 1e6:,.2f} | {accuracy} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a table is old")
    check = parser.parse_args().check
    old = []
    for page in sorted((Path(__file__).parent.parent / "docs" / "zoo").glob("*.md")):
        text = page.read_text()
        new = BLOCK.sub(lambda m: f"<!-- cards: {m[1]} -->\n{table(m[1].split())}<!-- end -->", text)
        if new != text:
            old.append(page.name)
            if not check:
                page.write_text(new)
    print("\n".join(f"{'old' if check else 'written'}: {name}" for name in old) or "all tables are up to date")
    if check and old:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
