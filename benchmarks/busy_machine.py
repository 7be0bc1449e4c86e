"""What another busy process costs: quantization, answers and training, with libgomp's threads spinning and waiting.

    python benchmarks/busy_machine.py [--threads 2] [--busy 0 1] [--images 24] [--repeat 3]

torch's threads meet after every operation. While they wait there they turn in a loop for a while (libgomp's default)
or sleep at once (OMP_WAIT_POLICY=passive, which the command line sets where nobody has chosen). Beside a process that
keeps a core busy, a thread that turns takes the core from the one it waits for. Every figure is the fastest of so many
runs in processes of their own, in seconds of the wall clock; then processor seconds of that run. Networks have random
weights and random images: only time counts here. `train` is a network of small maps, ResNet-20 in batches of 32.
Other work on the machine counts as busy, too, so load is printed with each row.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time

POLICIES = {"default": {}, "passive": {"OMP_WAIT_POLICY": "passive"}, "spin 1000": {"GOMP_SPINCOUNT": "1000"}}
NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
BUSY = [sys.executable, "-c", "while True: pass"]


def job(what: str, threads: int, images: int) -> None:
    """Do one job in this process and print its wall and processor seconds."""
    import torch

    from paring import zoo
    from paring.capture import capture
    from paring.methods import quantize

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if what == "train":
        network, x = zoo.create("resnet20").train(), torch.randn(32, 3, 32, 32)
    else:
        network, x = zoo.create("mobilenet_v2").eval(), torch.randn(images, 3, 224, 224)
    graph = capture(network, (3, 224, 224)) if what == "quantize" else None

    def train(steps: int) -> None:
        for _ in range(steps):
            network(x).square().mean().backward()

    with torch.set_grad_enabled(what == "train"):  # first calls choose their kernels
        network(x[:2])
    began = time.perf_counter(), time.process_time()
    if graph is not None:
        quantize(graph, x, tuning_images=images)
    elif what == "train":
        train(images // 2)
    else:
        with torch.inference_mode():
            for image in x.split(1):
                network(image)
    print(f"{time.perf_counter() - began[0]:.3f} {time.process_time() - began[1]:.3f}")


def fastest(what: str, policy: dict[str, str], busy: int, asked: argparse.Namespace) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of several processes, beside ``busy`` others."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | policy
    words = [sys.executable, __file__, "--job", what, "--threads", str(asked.threads), "--images", str(asked.images)]
    others = [subprocess.Popen(BUSY) for _ in range(busy)]
    try:
        runs = [
            subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
            for _ in range(asked.repeat)
        ]
    finally:
        for other in others:
            other.kill()
            other.wait()
    wall, processor = min(tuple(map(float, run.stdout.split())) for run in runs)
    return wall, processor


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1], help="busy processes beside the job")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["quantize", "answers", "train"])
    parser.add_argument("--job", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that busy processes end with this one
    if asked.job:
        job(asked.job, asked.threads, asked.images)
        return 0
    print("| job | threads | busy beside | load |" + "".join(f" {name} |" for name in POLICIES))
    print("|---|---:|---:|---:|" + "---:|" * len(POLICIES))
    for what in asked.only:
        for busy in asked.busy:
            found = [fastest(what, policy, busy, asked) for policy in POLICIES.values()]
            cells = "".join(f" {wall:.2f} ({processor:.2f}) |" for wall, processor in found)
            print(f"| {what} | {asked.threads} | {busy} | {os.getloadavg()[0]:.1f} |{cells}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
