"""What one of several processes does in test_distributed.py: ``distributed_worker.py CASE FOLDER``; also run as one.

Results are written by the first process as FOLDER/CASE.json.
"""

import atexit
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from paring import training, zoo
from paring.errors import ArgumentError
from paring.training import World, evaluator, join
from paring.training.optim import synchronized
from tests.training.problem import batches, dataset, digits, network, settings


class Unused(nn.Sequential):
    """A network with a branch the loss never reaches."""

    def __init__(self, net):
        super().__init__(*net)
        self.branch = nn.Linear(3, 3)

    def forward(self, x):
        for name, layer in self.named_children():
            x = layer(x) if name != "branch" else x
        return x


def lenet_curve(folder, world):
    """Losses of 50 steps of LeNet-5, distorted images, warm-up, clipping."""
    torch.manual_seed(0)
    net, losses = zoo.create("lenet_5_caffe"), []
    source = training.Batches(*digits(320, side=28), size=32, seed=1, augment="light")
    plan = training.Settings(epochs=5, batch=32, lr=0.02, clip=1.0, warmup=5, seed=1)
    training.run(net, source, plan, folder=folder / "lenet", world=world, progress=False, log_every=1)
    if world.main:
        lines = map(json.loads, (folder / "lenet" / "log.jsonl").read_text().splitlines())
        losses = [line["loss"] for line in lines if line["kind"] == "step"]
    return losses


def normalized(folder, world):
    """Batch normalization, mixup, average, evaluation; a network with an unused branch."""
    net = Unused(network())
    net[4].p = 0.0  # dropout draws for each slice on its own
    # Not Adam: a bias before a normalization has no gradient but rounding, which Adam would blow up to full steps.
    plan = settings(mixup=0.4, ema=0.9, nesterov=True, weight_decay=1e-3)
    outcome = training.run(
        net, batches(), plan, folder=folder / "bn", world=world, progress=False, classes=3,
        evaluate=evaluator(dataset(53), 8),
    )  # fmt: skip
    return {
        "losses": [entry["train_loss"] for entry in outcome.history],
        "score": outcome.score,
        "weights": {name: tensor.tolist() for name, tensor in net.state_dict().items()},
    }


def gradients(folder, world):
    """Synchronized normalization alone: outputs, gradients and running statistics of every kind, in double."""
    found = {}
    for name, layer, shape in (
        ("1d", nn.BatchNorm1d(3, eps=0.1), (8, 3)),
        ("2d", nn.BatchNorm2d(3, momentum=0.3), (8, 3, 2, 5)),
        ("3d", nn.BatchNorm3d(3, momentum=None, affine=False), (8, 3, 2, 2, 2)),
        ("bare", nn.BatchNorm1d(3, track_running_stats=False), (8, 3, 4)),
    ):
        torch.manual_seed(1)
        layer = layer.double()
        for parameter in layer.parameters():
            nn.init.normal_(parameter, 1.0)
        rows = slice(world.rank * 8 // world.size, (world.rank + 1) * 8 // world.size)
        for _ in range(2):
            x = (torch.randn(shape, dtype=torch.float64) * 3 + 1)[rows].requires_grad_()
            up = torch.randn(shape, dtype=torch.float64)[rows]
            layer.zero_grad()
            with synchronized(layer) as changed:
                assert changed
                y = layer(x)
            (y * up).sum().backward()
        parts = [y.detach(), x.grad]
        sums = [p.grad for p in layer.parameters()]
        if world.size > 1:
            everyone = [None] * world.size
            torch.distributed.all_gather_object(everyone, parts)
            parts = [torch.cat(p) for p in zip(*everyone, strict=True)]
            for total in sums:
                torch.distributed.all_reduce(total)
        state = layer.state_dict().values()
        found[name] = [t.tolist() for t in (*parts, *sums, *state)]
    return found


def refused(folder, world):
    """The errors of a batch that cannot be shared."""
    found = []
    for size in (17, 18):
        try:
            plan = settings(mixup=0.4)
            training.run(network(), batches(size=size), plan, folder=folder / "no", world=world, classes=3)
        except ArgumentError as error:
            found.append(str(error))
    return found


def asked(folder, world):
    """One of the processes alone is asked to end; all finish the same step."""

    def ask(step):
        if step == 3 and world.rank == world.size - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        training.run(
            network(), batches(), settings(), folder=folder / "asked", world=world, before_step=ask, progress=False
        )
    except KeyboardInterrupt:
        torch.distributed.barrier() if world.size > 1 else None
        return [path.name for path in training.Checkpoints(folder / "asked").paths()]


def together(folder):
    world = join("cpu", timeout=60)
    results = {case.__name__: case(folder, world) for case in (lenet_curve, normalized, gradients, refused, asked)}
    results["size"] = world.size
    if world.main:
        (folder / "together.json").write_text(json.dumps(results))


def resuming(folder):
    """The same, and nobody is killed."""
    dying(folder, mortal=False)


def dying(folder, mortal=True):
    """The last of several processes is killed after the fifth step."""
    world = join("cpu", timeout=60)

    def die(step):
        if mortal and step == 5 and world.rank == world.size - 1 > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    net = network()
    net[4].p = 0.0
    clock = training.Clock(0, 1)
    training.run(
        net, batches(), settings(), folder=folder / "run", world=world, progress=False, after_step=die, clock=clock,
        resume=True,
    )  # fmt: skip
    if world.main:
        weights = {name: np.asarray(tensor).tolist() for name, tensor in net.state_dict().items()}
        (folder / "dying.json").write_text(json.dumps(weights))


def threads_at_the_end(folder):
    """Names of the threads that live when the interpreter is about to be torn down."""
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    (folder / f"threads-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(names))


if __name__ == "__main__":
    if Path("/proc/self/task").is_dir():
        atexit.register(threads_at_the_end, Path(sys.argv[2]))  # registered first, so called last
    torch.set_num_threads(1)
    assert World
    globals()[sys.argv[1]](Path(sys.argv[2]))
