"""A method from outside the package: one registration takes it through everything that methods go through.

The method is the worked example of docs/contributing.md; that page's code is what is installed here as a package with
an entry point, and every check runs in a process of its own that imports nothing else of it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "contributing.md"

BEGIN = """
import numpy as np, torch
from torch import nn
from paring import methods, parametrize

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()

def grid(weight, step):
    flat = weight.double().numpy().ravel()
    return np.array([step * round(w / step) for w in flat]).reshape(weight.shape)
"""


def listing():
    """The page's example: the only block of Python with a registration."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return next(block for block in blocks if "@method(" in block)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the module and what an installation leaves beside it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "toy_method.py").write_text(listing())
    install(folder, "toy_method")
    return folder


def install(folder, module):
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[paring.methods]\ntoy = {module}\n")


def python(place, code, *words, check=True):
    """What another process prints."""
    path = os.pathsep.join([str(ROOT / "src"), str(place), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    call = (
        [sys.executable, "-c", BEGIN + code, *map(str, words)] if code else [sys.executable, "-m", "paring.cli", *words]
    )
    done = subprocess.run(call, capture_output=True, text=True, env=environment)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout if check else done.stderr


def test_training_and_a_checkpoint_that_another_process_reads(place, tmp_path):
    """The judge is a loop: every weight is a multiple of the step, the nearest to the real one."""
    python(
        place,
        """
import json, sys
net = network()
before = net[3].weight.detach().clone()
report = methods.find("round_step").apply(net, step={"3": 0.125})
assert [row.name for row in report.rows] == ["3.weight"] and "3.weight" in str(report)
np.testing.assert_array_equal(net[3].weight.detach().numpy(), grid(before, 0.125))
optimizer = torch.optim.SGD(net.parameters(), 0.5)
x, y = torch.randn(16, 1, 8, 8), torch.arange(16) % 3
for _ in range(3):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
real = net[3].parametrizations.weight.original.detach()
assert not torch.equal(real, before)
np.testing.assert_array_equal(net[3].weight.detach().numpy(), grid(real, 0.125))
torch.save((parametrize.describe(net), net.state_dict(), x, net(x).detach()), sys.argv[1])
""",
        tmp_path / "net.pt",
    )
    python(
        place,
        """
import sys
from paring.container import Contents, read, write
from paring.runtime import reference
assert "toy_method" not in sys.modules
described, state, x, expected = torch.load(sys.argv[1])
net = network()
parametrize.rebuild(net, described)
assert "toy_method" in sys.modules
net.load_state_dict(state)
parametrize.refresh(net)
assert torch.equal(net(x), expected)
graph = methods.graph_with_forms(net, (1, 8, 8))
write(sys.argv[2], Contents(graph))
found = read(sys.argv[2]).graph
assert found.weights["3.weight"].equals(parametrize.forms(net)["3.weight"])
images = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))
np.testing.assert_allclose(reference.run(found, images), expected.numpy(), rtol=1e-4, atol=1e-5)
""",
        tmp_path / "net.pt",
        tmp_path / "net.pare",
    )


def test_a_recipe_step_and_the_sensitivity_analysis(place, tmp_path):
    out = python(
        place,
        """
import json, sys
from paring.recipes import steps
from paring.sensitivity import sensitivity
from tests.recipes.run.problem import run, trained
done = run(sys.argv[1], [steps.round_step({"fc1": 0.25}), steps.tune(epochs=1, batch=16)], trained())
weight = done.graph.weights["fc1.weight"].dense()
found = sensitivity(network(), torch.randn(20, 1, 8, 8), methods=["round-step"], layers=["3"])
print(json.dumps([[s.place for s in done.steps], float(np.abs(weight / 0.25 - np.round(weight / 0.25)).max()),
    [[p.strength, p.output_error] for p in found.points], steps.round_step(0.5).options]))
""",
        tmp_path / "run",
    )
    places, off, points, options = json.loads(out.splitlines()[-1])
    assert "02-round-step" in places
    assert off == 0
    assert [strength for strength, _ in points] == [0.01, 0.1, 1.0]
    assert points[0][1] < points[1][1] < points[2][1]
    assert options == {"step": {"*": 0.5}}


def test_the_command_line_names_it(place):
    listed = python(place, "", "sensitivity", "--method", "list")
    assert "round-step" in listed
    assert "weights become multiples of a step" in listed


def test_a_mistake_is_told_before_anything_runs(place):
    told = python(place, "from paring.recipes import steps\nsteps.round_step(-1.0)", check=False)
    assert "ArgumentError: invalid step; found -1.0; expected above 0" in told


def test_a_broken_plugin_is_named(tmp_path):
    (tmp_path / "broken_method.py").write_text("import a_package_that_is_not_there\n")
    install(tmp_path, "broken_method")
    python(tmp_path, "methods.find('prune')")  # what is known is not looked for elsewhere
    told = python(tmp_path, "methods.find('prunes')", check=False)
    assert "ParingError: toy = broken_method, of package broken_method: plug-in with methods cannot be imported" in told
    assert "ModuleNotFoundError: No module named 'a_package_that_is_not_there'" in told
    told = python(tmp_path, "parametrize.rebuild(network(), {'0.weight': {'kind': 'toy'}})", check=False)
    assert "ParingError: toy = broken_method" in told
