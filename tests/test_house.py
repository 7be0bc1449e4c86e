"""The shape of the house: arrows point down, and the small half never imports torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "paring"

#: Each package and all that it may import at module level or inside a function, itself included.
GROUND = {"errors", "files", "record", "forms", "coding", "graph", "image", "container", "runtime", "data", "_native"}
BELOW = {
    "errors": set(),
    "files": {"errors"},
    "record": {"errors", "files"},
    "forms": {"errors"},
    "coding": {"errors", "forms", "_native"},
    "graph": {"errors", "forms"},
    "image": {"errors"},
    "container": {"errors", "files", "forms", "coding", "graph", "image"},
    "data": {"errors", "image"},
    "runtime": {"errors", "forms", "coding", "graph", "image", "container", "data", "_native"},
    "layers": GROUND,
    "zoo": GROUND | {"layers"},
    "networks": GROUND | {"layers", "zoo", "capture", "parametrize"},
    "parametrize": GROUND | {"layers"},
    "capture": GROUND | {"layers", "parametrize"},
    "methods": GROUND | {"layers", "capture", "parametrize"},
    "training": GROUND | {"layers", "parametrize"},
    "distillation": GROUND | {"layers", "capture", "parametrize", "training"},
    "sensitivity": GROUND | {"layers", "capture", "parametrize", "methods", "training"},
    "recipes": GROUND | {"layers", "zoo", "capture", "parametrize", "methods", "training", "distillation"},
    "report": GROUND,
}
BELOW["api"] = set(BELOW) - {"report", "sensitivity"}
BELOW["cli"] = set(BELOW)
TORCH_FREE = (*sorted(GROUND - {"_native"}), "report")


def modules(package: str) -> list[Path]:
    single = SOURCE / f"{package}.py"
    return [single] if single.exists() else sorted((SOURCE / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names of everything the file imports, functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "paring")
    return found


@pytest.mark.parametrize("package", sorted(BELOW))
def test_arrows_point_down(package):
    assert modules(package)
    for path in modules(package):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "paring" and len(parts) > 1 and not parts[1].startswith("__"):
                assert parts[1] in BELOW[package] | {package}, f"{path.name} imports {name}"


@pytest.mark.parametrize("package", TORCH_FREE)
def test_the_small_half_does_not_know_torch(package):
    for path in modules(package):
        assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchvision"}, path


def test_every_package_is_in_the_plan():
    packages = {p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert packages - {"__init__"} == set(BELOW)


def test_importing_paring_imports_neither_torch_nor_any_extra():
    code = "import sys, paring, paring.runtime, paring.container, paring.data; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    extras = {
        "torch",
        "rich",
        "typer",
        "PIL",
        "matplotlib",
        "scipy",
        "datasets",
        "pyarrow",
        "safetensors",
        "mlxtend",
        "faiss",
    }
    assert "paring.runtime" in loaded
    assert not {name.split(".")[0] for name in loaded} & extras
