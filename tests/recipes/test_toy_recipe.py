"""The worked examples of docs/contributing.md: a recipe of another package, and a command."""

import importlib
import json
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from paring import container, recipes
from paring.errors import ArgumentError
from paring.recipes import _registry
from tests.recipes.run.problem import run, trained

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text()


def example(path):
    """The block of the page that is the file at ``path``."""
    (found,) = re.findall(rf"<!-- file: {re.escape(path)} -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The page's recipe in a package that names it in the entry-point group; nothing has imported it yet."""
    (tmp_path / "toy_recipe.py").write_text(example("toy_recipe.py"))
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("toy", "toy_recipe", _registry.GROUP)]
    monkeypatch.setattr(_registry, "entry_points", lambda group: points if group == _registry.GROUP else [])
    yield points
    sys.modules.pop("toy_recipe", None)
    recipes.RECIPES.pop("sparse-int8", None)


def test_a_recipe_of_another_package_is_found_typed_and_run(installed, tmp_path):
    found = recipes.find("sparse-int8")
    assert {name: option.default for name, option in found.options.items()} == {
        "keep": 0.5,
        "bits": 8,
        "epochs": 3,
        "lr": 5e-4,
    }
    with pytest.raises(ArgumentError, match="option lr: option has another type; found 'fast'; expected a number"):
        found.check({"lr": "fast"})
    done = run(tmp_path / "run", "sparse-int8", trained(), keep=0.3, epochs=1)
    assert [stage.name for stage in done.record.stages] == ["float", "prune", "tune", "quantize"]
    weights = container.read(done.path).graph.weights
    assert weights["fc1.weight"].kind == "integer"
    kept = sum(weights[name].nonzeros for name in weights if name.endswith("weight"))
    assert kept <= sum(round(0.3 * size) for size in (72, 1152, 9600, 72))


def test_a_recipe_of_another_package_on_the_command_line(installed, capfd):
    pytest.importorskip("typer")
    from paring.cli._app import execute

    assert execute(["compress", "--help"]) == 0
    out = capfd.readouterr().out
    assert re.search(r"^ sparse-int8 +half of the weights go, the rest become integers", out, re.MULTILINE)
    assert "sparse-int8: lr=0.0005" in out
    words = [
        "compress",
        "lenet_5_caffe",
        "--data",
        "nowhere",
        "--out",
        "x.pare",
        "--recipe",
        "sparse-int8",
        "-O",
        "lr=fast",
    ]
    assert execute(words) == 2
    assert "option lr: option has another type" in capfd.readouterr().err


def test_a_plugin_that_cannot_be_imported_is_warned_of(installed):
    installed.append(EntryPoint("broken", "no_such_module", _registry.GROUP))
    with pytest.warns(UserWarning, match="no_such_module cannot be loaded"):
        assert recipes.find("sparse-int8")


def test_two_recipes_of_one_name_are_refused():
    def twn(context, *, factor: float = 1.0):
        return []

    with pytest.raises(ArgumentError, match="two recipes of one name"):
        recipes.recipe("another")(twn)
    assert recipes.find("twn").make is not twn


def test_a_command_does_what_the_page_says(tmp_path, monkeypatch, capfd):
    typer = pytest.importorskip("typer")
    from paring.container import write
    from tests.cli.examples import small_contents

    (tmp_path / "forms.py").write_text(example("src/paring/cli/commands/forms.py"))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("forms")
    app = typer.Typer()
    app.command()(module.forms)
    write(tmp_path / "a.pare", small_contents())
    with pytest.raises(SystemExit) as stopped:
        app([str(tmp_path / "a.pare"), "--json"])
    assert not stopped.value.code
    counted = json.loads(capfd.readouterr().out)
    assert sum(counted.values()) == sum(form.size for form in small_contents().graph.weights.values())
    sys.modules.pop("forms")
