"""Paring installed beside numpy and nothing else: it opens a file, answers as torch did, and knows no torch.

Builds a wheel and a virtual environment, so it stands behind the ``slow`` marker: ``make test-slow``.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import sys, json, numpy as np
import paring
model = paring.load(sys.argv[1])
scores = model(np.load(sys.argv[2]))
loaded = sorted({name.split(".")[0] for name in sys.modules})
print(json.dumps({"classes": scores.argmax(1).tolist(), "loaded": loaded, "engine": paring.runtime.info()}))
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*wheel, str(ROOT)], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *folder.glob("paring-*.whl")], check=True)
    return python


@pytest.mark.slow
def test_numpy_is_all_it_needs(bare_python, tmp_path):
    torch = pytest.importorskip("torch")
    from paring.capture import capture
    from paring.container import Contents, write
    from paring.zoo import create

    listed = subprocess.run(
        [bare_python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True
    ).stdout
    assert {package["name"] for package in json.loads(listed)} <= {"numpy", "paring", "pip", "setuptools"}

    torch.manual_seed(0)
    network = create("lenet_5_caffe").eval()
    write(tmp_path / "net.pare", Contents(capture(network, (1, 28, 28)), None, (), {}))
    images = np.random.default_rng(0).random((200, 28, 28, 1), np.float32)
    np.save(tmp_path / "images.npy", images)
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).argmax(1).tolist()

    probe = [bare_python, "-c", PROBE, tmp_path / "net.pare", tmp_path / "images.npy"]
    answer = json.loads(subprocess.run(probe, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    assert answer["classes"] == expected
    assert not {"torch", "rich", "typer", "PIL", "scipy"} & set(answer["loaded"])

    trace = subprocess.run(
        [bare_python, "-X", "importtime", "-c", "import paring"], capture_output=True, text=True, check=True
    )
    assert "paring" in trace.stderr
    assert "torch" not in trace.stderr
