"""Does the engine, installed beside numpy and nothing else, answer as torch does, image by image?

Builds a wheel and a virtual environment with numpy and Paring only, runs the file there over the whole test split, and
compares the classes with torch's: the graph of the file rebuilt as a torch module with the same weights.

    python benchmarks/bare_agreement.py FILE.pare mnist:FOLDER [MORE.pare ...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import paring
from paring.capture import rebuild

ROOT = Path(__file__).resolve().parent.parent
PROBE = """
import json, sys
import paring
file, spec = sys.argv[1:]
model, data = paring.load(file), paring.data.load(spec, "test")
classes = [int(c) for start in range(0, len(data), 500) for c in model(data.images[start:start + 500]).argmax(1)]
print(json.dumps({"classes": classes, "loaded": sorted({name.split(".")[0] for name in sys.modules})}))
"""


def bare_python(folder: Path) -> Path:
    """An interpreter that has numpy and Paring only."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(wheel, check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", *folder.glob("paring-*.whl")], check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    print("installed:", ", ".join(listed.stdout.split()))
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="+")
    parser.add_argument("data", help="data set, kind:where; its test split is used")
    given = parser.parse_args()
    data = paring.data.load(given.data, "test")
    with tempfile.TemporaryDirectory() as name:
        python = bare_python(Path(name))
        trace = subprocess.run([python, "-X", "importtime", "-c", "import paring"], capture_output=True, text=True)
        print("torch in `python -X importtime -c 'import paring'`:", "torch" in trace.stderr)
        for file in given.file:
            probe = [python, "-c", PROBE, Path(file).resolve(), given.data]
            done = subprocess.run(probe, capture_output=True, text=True, check=True)
            answer = json.loads(done.stdout)
            module = rebuild(paring.read(file).graph).eval()
            with torch.no_grad():
                parts = range(0, len(data), 500)
                prepared = (torch.from_numpy(data.prepared(i, i + 500).transpose(0, 3, 1, 2).copy()) for i in parts)
                expected = np.concatenate([module(x).argmax(1).numpy() for x in prepared])
            same = int((np.array(answer["classes"]) == expected).sum())
            wrong = int((np.array(answer["classes"]) != data.labels).sum())
            print(
                f"{file}: engine and torch give the same class on {same:,} of {len(data):,} images; error "
                f"{100 * wrong / len(data):.2f} %; torch loaded: {'torch' in answer['loaded']}"
            )


if __name__ == "__main__":
    main()
