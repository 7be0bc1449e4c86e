"""How the processes of a short training end, launched many times beside processes that keep the cores busy.

    python benchmarks/launch_ends.py
    python benchmarks/launch_ends.py --runs 10 --busy 2 --late

Each launch trains a small network on two processes over gloo, as torchrun starts them, on streamed images of which two
are damaged. Its exit code must be 0. Once about one in fourteen ended by SIGABRT after its work was done: a thread of
gloo asked for the interpreter's lock while the interpreter was torn down. With `--late`, gloo's threads get a core only
when nothing else wants it. That made two of three launches end so; it is slow.

Printed: exit codes of the launcher and how often, signals that ended a process, what other words stood on stderr.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

NET = """
from torch import nn


def tiny(num_classes=10):
    return nn.Sequential(nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, num_classes))
"""
#: Words of an end that went wrong although the exit code may not say so.
WRONG = ("terminate called", "Fatal Python error", "Exception ignored", "nanobind: leaked")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="launches")
    parser.add_argument("--busy", type=int, default=1, help="processes that keep a core busy each")
    parser.add_argument("--late", action="store_true", help="gloo's threads come last")
    args = parser.parse_args()
    alone = f"import os\nwhile os.getppid() == {os.getpid()}: pass"  # ends with this process in any case
    busy = [subprocess.Popen([sys.executable, "-c", alone]) for _ in range(args.busy)]
    codes, wrong, times = Counter[int](), Counter[str](), list[float]()
    try:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder))
            for run in range(1, args.runs + 1):
                start = time.perf_counter()
                done = launch(Path(folder), run, args.late)
                times.append(time.perf_counter() - start)
                codes[done.returncode] += 1
                wrong.update(re.findall(r"Signal \d+ \(SIG\w+\)", done.stderr))
                wrong.update(words for words in WRONG if words in done.stderr)
                print(f"{run:4}  exit codes {dict(codes)}  {dict(wrong)}  {times[-1]:.1f} s", flush=True)
    finally:
        for process in busy:
            process.kill()
    print(f"{args.runs} launches beside {args.busy} busy processes{', gloo late' if args.late else ''}")
    print(f"median {np.median(times):.1f} s, exit codes {dict(codes)}, {dict(wrong) or 'nothing wrong on stderr'}")
    return int(set(codes) != {0} or bool(wrong))


def prepare(folder: Path) -> None:
    """A network in a file of its own, JPEGs in class folders, one of them cut, one empty."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 20)):
        for number in range(count):
            place = folder / "images" / split / str(number % 10)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(place / f"{number:02}.jpg")
    cut = folder / "images" / "train" / "3" / "13.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    (folder / "images" / "test" / "5" / "05.jpg").write_bytes(b"")
    (folder / "tiny.py").write_text(NET)


def launch(folder: Path, run: int, late: bool) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, "train"]
    words += [f"{folder / 'tiny.py'}:tiny", "--data", f"imagefolder:{folder / 'images'}", "--size", "28"]
    words += ["--workers", "0", "-e", "6", "-b", "10", "-t", "1", "--on-bad-image", "skip", "--device", "cpu", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PARING_LATE": str(int(late))}
    return subprocess.run(
        [*words, "--out", str(folder / f"{run}.safetensors")], capture_output=True, text=True, env=environment
    )


def one_of_two() -> None:
    """``paring``, in a process that the launcher started."""
    import torch.distributed

    from paring.cli import main as paring

    begin = torch.distributed.init_process_group

    def begin_late(*words: object, **options: object) -> None:
        begin(*words, **options)  # type: ignore[arg-type]
        for thread in map(int, os.listdir("/proc/self/task")):
            if thread != os.getpid():
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))

    if os.environ["PARING_LATE"] == "1":
        torch.distributed.init_process_group = begin_late
    paring()


if __name__ == "__main__":
    if "RANK" in os.environ:
        one_of_two()
    else:
        sys.exit(main())
