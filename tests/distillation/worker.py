"""What one of several processes does in test_processes.py: ``worker.py CASE FOLDER``.

Every process writes what it found as FOLDER/CASE-RANK.json.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from paring import training
from paring.distillation import cached_logits, distill
from paring.errors import ParingError
from paring.training import join
from tests.training.problem import dataset

#: 13 whole batches of 8 images and one of 3: nothing that two or three processes can share evenly.
IMAGES, BATCH = 107, 8


class Teacher(nn.Sequential):
    """Counts the images it is asked about; may be told to fail at a batch that begins with a certain image."""

    asked = 0
    spoilt: float | None = None

    def forward(self, images):
        self.asked += len(images)
        answer = super().forward(images)
        return answer * torch.nan if self.spoilt == images[0].sum().item() else answer


def teacher(seed):
    torch.manual_seed(seed)
    return Teacher(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def trouble(work):
    try:
        work()
    except ParingError as error:
        return [type(error).__name__, str(error)]


def shared(folder, world):
    """The cache is made, opened again and refused."""
    data, nets, path = dataset(IMAGES), [teacher(1), teacher(2)], folder / "c.safetensors"
    seen = []
    cache = cached_logits(
        path, nets, data, batch=BATCH, world=world, progress=lambda done, total: seen.append((done, total))
    )
    found = {"asked": [net.asked for net in nets], "progress": seen, "last": cache.row(IMAGES - 1).tolist()}
    other = trouble(lambda: cached_logits(path, [teacher(3)], data, batch=BATCH, world=world))
    here = folder / "mine.safetensors" if world.main else folder / "elsewhere" / "mine.safetensors"
    unseen = trouble(lambda: cached_logits(here, nets, data, batch=BATCH, world=world))
    unwritable = trouble(lambda: cached_logits(folder / "no" / "c.safetensors", nets, data, world=world))
    # The twelfth batch is process 1's where there are two, and nobody else's business.
    nets[0].spoilt = torch.from_numpy(data.prepared(88, 89).transpose(0, 3, 1, 2).copy())[0].sum().item()
    broken = trouble(lambda: cached_logits(folder / "b.safetensors", nets, data, batch=BATCH, world=world))
    return {**found, "other": other, "unseen": unseen, "unwritable": unwritable, "broken": broken}


def dying(folder, world):
    """The last process is killed when it is asked for its third batch."""
    net = teacher(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # or the launcher may end the other before it has said anything

    def die(module, inputs):
        if module.asked == 1 + 2 * BATCH and world.rank == world.size - 1 > 0:
            os.kill(os.getpid(), signal.SIGKILL)

    net.register_forward_pre_hook(die)
    found = trouble(lambda: cached_logits(folder / "c.safetensors", [net], dataset(IMAGES), batch=BATCH, world=world))
    (folder / f"said-{world.rank}.json").write_text(json.dumps(found))
    if found:
        sys.exit(1)


def recipe(folder, world):
    """A whole distillation from a cache that the processes make together."""
    data, student = dataset(64), teacher(3)
    mean_std = {"mean": data.preparation.mean, "std": data.preparation.std}
    source = training.Batches(data.images, data.labels, size=16, seed=5, **mean_std)
    plan = training.Settings(epochs=2, batch=16, lr=0.02, seed=5)
    distill(
        student, source, plan, [teacher(1)], data, folder=folder / "run", cache=folder / "r.safetensors", world=world,
        progress=False,
    )  # fmt: skip
    return {name: tensor.tolist() for name, tensor in student.state_dict().items()}


def together(folder, world):
    return {"shared": shared(folder, world), "recipe": recipe(folder, world)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = join("cpu", timeout=60)
    from tests.distillation import worker  # not __main__, whose name would be part of the teachers' identity

    result = getattr(worker, sys.argv[1])(Path(sys.argv[2]), place)
    (Path(sys.argv[2]) / f"{sys.argv[1]}-{place.rank}.json").write_text(json.dumps(result))
