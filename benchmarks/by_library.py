"""What Paring writes itself although a library has it, beside that library: speed, exactness, what it can repeat.

    pip install kornia tensorly kmeans1d torchvision --no-deps     # into an environment that has Paring; any may lack
    python benchmarks/by_library.py [augment crops factors kmeans average schedule mixup charts]

The tables of docs/results/by_library.md. One thread. Times are the best of ``--repeats``: other work on the machine
only adds to them. "one in two halves": whether two processes that take half of a batch each get what one process gets
from the whole, with the same seed, which is what makes N processes equal to one.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Rows = Iterator[tuple[object, ...]]


def best(function: Callable[[], Any], repeats: int) -> float:
    """Seconds of the quickest call, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def torchvision_v2() -> Any:
    """Its transforms. PyPI's wheel is built for CUDA; beside a CPU build of torch its operators, which no transform
    uses, must be declared by hand before it can be imported."""
    while True:
        try:
            return importlib.import_module("torchvision.transforms.v2")
        except ImportError:
            return None
        except RuntimeError as error:
            missing = re.search(r"operator (torchvision::\w+) does not exist", str(error))
            if not missing:
                raise
            torch.library.define(missing[1], "(Tensor x) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out", file=sys.stderr)
        return None


def same_halves(change: Callable[[Tensor], Tensor], images: Tensor) -> bool:
    half = len(images) // 2
    whole, parts = None, []
    for part in (images, images[:half], images[half:]):
        torch.manual_seed(0)
        out = change(part)
        whole, parts = (out, []) if whole is None else (whole, [*parts, out])
    return bool(torch.equal(whole, torch.cat(parts)))


def augment(repeats: int) -> Rows:
    """Pairs of the same augmentation, 128 images a batch."""
    from paring.training.augment import augmentation
    from paring.training.augment._spec import finish, rows

    kornia, v2 = optional("kornia.augmentation"), torchvision_v2()
    yield "augmentation", "library", "images / s", "one in two halves"
    cases = {
        "pad-crop:4,flip": (3, 32, lambda k: [k.RandomCrop((32, 32), padding=4), k.RandomHorizontalFlip()]),
        "color:0.4:0.4:0.4": (3, 224, lambda k: [k.ColorJitter(0.4, 0.4, 0.4)]),
        "resized-crop,flip": (3, 224, lambda k: [k.RandomResizedCrop((224, 224)), k.RandomHorizontalFlip()]),
        "distort:10:0.1:0.1:1.5": (1, 28, lambda k: [k.RandomAffine(10, (0.05, 0.05), (0.9, 1.1), 6)]),
    }
    for spec, (channels, side, steps) in cases.items():
        images = torch.randint(0, 256, (128, channels, side, side), dtype=torch.uint8)
        floats = images.float() / 255
        mine = augmentation(spec)

        zero, one = torch.zeros(1, channels, 1, 1), torch.ones(1, channels, 1, 1)

        def ours(images: Tensor = images, mine: Any = mine, zero: Tensor = zero, one: Tensor = one) -> Tensor:
            drawn = mine.draw(len(images), tuple(images.shape[1:]), torch.Generator().manual_seed(0))
            return finish(images, zero, one, mine, drawn)  # as trainings do: a cache-full at a time

        def halves(images: Tensor = images, mine: Any = mine) -> bool:
            drawn = mine.draw(128, tuple(images.shape[1:]), torch.Generator().manual_seed(0))
            parts = [mine.apply(images[s], rows(drawn, s)) for s in (slice(0, 64), slice(64, 128))]
            return bool(torch.equal(torch.cat(parts), mine.apply(images, drawn)))

        yield spec, "ours, whole batch", 128 / best(ours, repeats), halves()
        if kornia:
            theirs = nn.Sequential(*steps(kornia))
            yield spec, "kornia, whole batch", 128 / best(lambda: theirs(floats), repeats), same_halves(theirs, floats)  # noqa: B023
        if v2:
            each = v2.Compose(steps(v2))
            seconds = best(lambda: torch.stack([each(image) for image in images]), repeats)  # noqa: B023
            yield (
                spec,
                "torchvision v2, image by image",
                128 / seconds,
                same_halves(lambda x: torch.stack([each(i) for i in x]), images),  # noqa: B023
            )


def crops(repeats: int) -> Rows:
    """64 boxes, one of each image, brought to the images' size: bilinear with antialiasing."""
    from torch.nn import functional as F

    from paring.training.augment import augmentation, resample

    cut = augmentation("resized-crop").cut
    yield "side", "ours (resample), images / s", "F.interpolate(antialias=True) crop by crop", "largest difference"
    for side in (32, 64, 224):
        images = torch.rand(64, 3, side, side)
        (drawn,) = cut.draw(64, (3, side, side), torch.Generator().manual_seed(0))
        boxes = [cut.box(row, side, side) for row in drawn.tolist()]

        def ours(images: Tensor = images, boxes: Any = boxes, side: int = side) -> Tensor:
            return resample(images, torch.tensor(boxes), side, side)

        def theirs(images: Tensor = images, boxes: Any = boxes, side: int = side) -> Tensor:
            parts = zip(images, boxes, strict=True)
            cuts = [image[None, :, top : top + high, left : left + wide] for image, (top, left, high, wide) in parts]
            return torch.cat([F.interpolate(c, (side, side), mode="bilinear", antialias=True) for c in cuts])

        apart = float((ours() - theirs()).abs().max())
        yield side, 64 / best(ours, repeats), 64 / best(theirs, repeats), apart


def factors(repeats: int) -> Rows:
    """A 3x3 convolution of 48 maps to 64: the error that is left, as a share of the weight's norm."""
    from paring.methods.low_rank._factors import cp_factors, tucker_factors

    tensorly = optional("tensorly")
    random = np.random.default_rng(0)
    smooth = np.einsum("or,ir,yr,xr->oiyx", *(random.standard_normal((n, 12)) for n in (64, 48, 3, 3)))
    weight = smooth / smooth.std() + 0.5 * random.standard_normal(smooth.shape)
    norm = np.linalg.norm(weight)
    yield "decomposition", "library", "relative error", "seconds", "the same twice"

    def tucker() -> np.ndarray:
        first, core, last = tucker_factors(weight, (16, 24))
        return np.einsum("oq,qpyx,pi->oiyx", last, core, first, optimize=True)

    def cp() -> np.ndarray:
        first, vertical, horizontal, last = cp_factors(weight, 16)
        return np.einsum("or,ri,ry,rx->oiyx", last, first, vertical, horizontal, optimize=True)

    tasks: list[tuple[str, str, Callable[[], np.ndarray]]] = [
        ("Tucker-2, ranks 16, 24", "ours", tucker),
        ("CP, rank 16", "ours", cp),
    ]
    if tensorly:
        from tensorly import cp_to_tensor
        from tensorly.decomposition import parafac, partial_tucker
        from tensorly.tenalg import multi_mode_dot

        def their_tucker() -> np.ndarray:
            (core, matrices), _ = partial_tucker(weight, rank=[24, 16], modes=[0, 1], n_iter_max=500, tol=1e-8)
            return multi_mode_dot(core, matrices, modes=[0, 1])

        def their_cp() -> np.ndarray:
            return cp_to_tensor(parafac(weight, 16, n_iter_max=500, tol=1e-8, init="svd", random_state=0))

        tasks += [
            ("Tucker-2, ranks 16, 24", f"tensorly {tensorly.__version__}", their_tucker),
            ("CP, rank 16", f"tensorly {tensorly.__version__}", their_cp),
        ]
    for name, library, task in sorted(tasks, key=lambda task: task[0], reverse=True):
        made = task()
        again = bool(np.array_equal(made, task()))
        yield name, library, np.linalg.norm(made - weight) / norm, best(task, 1), again


def kmeans(repeats: int) -> Rows:
    """One-dimensional clustering of normal weights."""
    from paring.methods import proven_kmeans

    kmeans1d, faiss = optional("kmeans1d"), optional("faiss")
    yield "weights, centroids", "library", "cost, relative to the optimum", "seconds"
    for count, k in ((100_000, 16), (1_000_000, 16)):
        values = np.random.default_rng(0).standard_normal(count).astype(np.float32)
        name, optimum = f"{count:,}, {k}", proven_kmeans(values, k).cost

        def cost(centroids: Any) -> float:
            edges = np.sort(np.asarray(centroids, np.float64).ravel())
            nearest = edges[np.searchsorted((edges[1:] + edges[:-1]) / 2, values.astype(np.float64))]  # noqa: B023
            return float(((values - nearest) ** 2).sum()) / optimum  # noqa: B023

        yield (
            name,
            "ours (proven_kmeans)",
            cost(proven_kmeans(values, k).centroids),
            best(lambda: proven_kmeans(values, k), 1),  # noqa: B023
        )
        if kmeans1d:
            yield (
                name,
                "kmeans1d",
                cost(kmeans1d.cluster(values, k).centroids),
                best(lambda: kmeans1d.cluster(values, k), 1),  # noqa: B023
            )
        if faiss:

            def theirs() -> Any:
                search = faiss.Kmeans(1, k, niter=25, seed=0, max_points_per_centroid=count)  # noqa: B023
                search.train(values[:, None])  # noqa: B023
                return search.centroids

            yield name, f"faiss {faiss.__version__}, 25 rounds", cost(theirs()), best(theirs, 1)


def average(repeats: int) -> Rows:
    """A moving average over a network that carries a pruning mask, with a decay that grows (TensorFlow's rule)."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    from paring import methods, zoo
    from paring.training.optim import EMA

    yield "moving average of lenet_5_caffe, 20 % kept", "library", "ms / step", "outcome"
    torch.manual_seed(0)
    network = zoo.create("lenet_5_caffe")
    methods.prune(network, {"*": 0.2})
    ours = EMA(network, 0.999)
    yield "", "ours", 1e3 * best(lambda: ours.update(network, 5), repeats), "averages weights, copies masks"
    for buffers in (False, True):
        try:
            theirs = AveragedModel(
                copy.deepcopy(network), multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=buffers
            )
            theirs.update_parameters(network)
            seconds = best(lambda: theirs.update_parameters(network), repeats)  # noqa: B023
            masks = [b for name, b in theirs.module.named_buffers() if "mask" in name]
            outcome = "runs" + (f", masks of {masks[0].dtype}" if masks else "")
            yield "", f"AveragedModel, use_buffers={buffers}", 1e3 * seconds, outcome
        except Exception as error:
            yield (
                "",
                f"AveragedModel, use_buffers={buffers}",
                "",
                f"{type(error).__name__}: {str(error).splitlines()[0][:90]}",
            )


def schedule(repeats: int) -> Rows:
    """Cosine with warm-up over 10,000 steps: largest distance to the formula, and what a checkpoint must hold."""
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

    from paring.training import lr_factor

    total, warmup = 10_000, 100
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    chained = CosineAnnealingLR(optimizer, total)
    apart = 0.0
    for step in range(total):
        apart = max(apart, abs(optimizer.param_groups[0]["lr"] - lr_factor("cosine", step, total)))
        optimizer.step()
        chained.step()
    yield "schedule", "library", "largest distance to the formula", "state in a checkpoint"
    yield "cosine, 10,000 steps", "ours", 0.0, "none: a function of the step"
    yield "cosine, 10,000 steps", "CosineAnnealingLR", apart, f"{len(chained.state_dict())} values"
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    both = SequentialLR(
        optimizer, [LinearLR(optimizer, 1 / (warmup + 1), 1.0, warmup), CosineAnnealingLR(optimizer, total)], [warmup]
    )
    yield (
        "the same behind a warm-up",
        "SequentialLR",
        "another shape: warm-up before, not over",
        f"{len(both.state_dict())} values, nested",
    )


def mixup(repeats: int) -> Rows:
    """Mixup of a batch of 128 images of 32 pixels."""
    from paring import training

    v2 = torchvision_v2()
    images, labels = torch.rand(128, 3, 32, 32), torch.randint(0, 10, (128,))
    yield "mixup", "library", "images / s", "one in two halves"
    source = training.Batches(
        (images * 255).byte().permute(0, 2, 3, 1).contiguous().numpy(),
        labels.numpy(),
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        size=128,
        seed=0,
    )
    mixed = training.Mixup(source, 0.2, 10)
    ours = best(lambda: next(iter(mixed.epoch(0))), repeats)
    yield "", "ours, from uint8, the batch made as well", 128 / ours, "True (neighbors are partners)"
    if v2:
        theirs = v2.MixUp(alpha=0.2, num_classes=10)
        yield (
            "",
            "torchvision v2.MixUp",
            128 / best(lambda: theirs(images, labels), repeats),
            same_halves(lambda x: theirs(x, labels[: len(x)])[0], images),
        )


def charts(repeats: int) -> Rows:
    """A histogram of 64 bins with 16 centroids as SVG."""
    from paring.report._charts import histogram
    from paring.report._pieces import Histogram

    counts = np.random.default_rng(0).integers(1, 500, (2, 64))
    data = Histogram(
        "fc1.weight", -1.0, 1.0, tuple(counts[0].tolist()), tuple(counts[1].tolist()), tuple(np.linspace(-1, 1, 16))
    )
    yield "chart", "library", "bytes in the page", "ms"
    yield "histogram", "ours", len(histogram(data, "fc1")), 1e3 * best(lambda: histogram(data, "fc1"), repeats)
    if optional("matplotlib"):
        from matplotlib.figure import Figure

        def theirs() -> bytes:
            axes = (figure := Figure(figsize=(4, 1.5))).add_subplot()
            edges = np.linspace(-1, 1, 64)
            axes.bar(edges, counts[0], 2 / 64)
            axes.bar(edges, counts[1], 2 / 64, bottom=counts[0])
            axes.vlines(data.centroids, -50, 0)
            figure.savefig(out := io.BytesIO(), format="svg")
            return out.getvalue()

        yield "histogram", "matplotlib", len(theirs()), 1e3 * best(theirs, repeats)


def show(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.4g}"
    return str(cell)


def main() -> None:
    topics = {f.__name__: f for f in (augment, crops, factors, kmeans, average, schedule, mixup, charts)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("topics", nargs="*", choices=[*topics, []], metavar="TOPIC", help=", ".join(topics))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for topic in given.topics or topics:
        print(f"\n{topics[topic].__doc__}\n".replace("\n    ", " "))
        for index, row in enumerate(topics[topic](given.repeats)):
            print("| " + " | ".join(map(show, row)) + " |", flush=True)
            if not index:
                print("|" + "---|" * len(row))


if __name__ == "__main__":
    main()
