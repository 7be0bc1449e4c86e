"""Images per second of decoding and augmenting, against a plain DataLoader with Pillow, and memory over an epoch.

    PARING_DATA=../shared/data python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --data ../shared/data --workers 1 --rounds 3 --markdown FILE

Both read the same JPEG files (the photographs of `imagenet_samples`, written out as an image folder) and do the same:
a random resized crop to 224 x 224, a flip, color jitter of 0.4 in brightness, contrast and saturation, normalization,
batches of float32. The plain loader is what tutorials show: per photograph, in the worker, with Pillow. Epochs of the
two alternate, the first of each is not counted, and medians are given. CPU time is that of all processes together, so
it depends little on what else the machine does.

Memory is read after every second batch in the later half of an epoch over the same photographs many times over: as
files (hard links), as Parquet, and through the datasets library. `own` is what all processes together hold (anonymous
and shared memory, what they share counted once); `mapped` are pages of files, which the system takes back when it needs
to: the datasets library maps its Arrow file, Paring maps none.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import DataLoader, Dataset

from paring import data, training
from paring.image import Preparation

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPARATION = Preparation(224, 224, 3, MEAN, STD, 256)
AUGMENT = "resized-crop,flip,color:0.4"
_TICK = os.sysconf("SC_CLK_TCK")


class Plain(Dataset):
    """A photograph at a time, with Pillow."""

    def __init__(self, paths: list[Path], labels: np.ndarray) -> None:
        self.paths, self.labels = paths, labels.tolist()
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[number]) as file:
            image = file.convert("RGB")
        image = image.crop(self.box(*image.size)).resize((224, 224), Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = change(image).enhance(random.uniform(0.6, 1.4))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
        return pixels.sub_(self.mean).div_(self.std), self.labels[number]

    @staticmethod
    def box(width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = random.uniform(0.08, 1) * width * height
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, top = random.randint(0, width - w), random.randint(0, height - h)
                return left, top, left + w, top + h
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side


class Epochs:
    """One contender: gives epochs, and knows its processes."""

    def __init__(self, name: str, epoch: Callable[[int], Iterator], pids: Callable[[], list[int]]) -> None:
        self.name, self.epoch, self.pids = name, epoch, pids
        self.rates: list[float] = []
        self.costs: list[float] = []

    def run(self, number: int, counted: bool) -> None:
        busy = cpu_seconds(self.pids()) if counted else 0.0
        begun, images = time.perf_counter(), 0
        for batch in self.epoch(number):
            images += len(batch[0])
        if counted:
            self.rates.append(images / (time.perf_counter() - begun))
            self.costs.append(1000 * (cpu_seconds(self.pids()) - busy) / images)


def cpu_seconds(pids: list[int]) -> float:
    """Of this process and its workers."""
    total = 0
    for pid in (os.getpid(), *pids):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


def memory(pids: list[int]) -> tuple[float, float]:
    """MiB of this process and its workers: their own, and pages of files."""
    own = mapped = 0
    for pid in (os.getpid(), *pids):
        lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        sizes = {words[0]: int(words[1]) for words in lines}
        own += sizes["Pss_Anon:"] + sizes["Pss_Shmem:"]
        mapped += sizes["Pss_File:"]
    return own / 1024, mapped / 1024


def photographs(source: Path, folder: Path, entries: int) -> None:
    """The Parquet file's JPEGs in class folders, repeated by hard links until there are so many entries."""
    found = data.listing(f"parquet:{source}", "all")
    items = found.fetch(np.arange(len(found)))
    for number in range(entries):
        first = number % len(items)
        place = folder / f"{found.labels[first]:04}"
        place.mkdir(parents=True, exist_ok=True)
        path, original = place / f"{number:06}.jpg", place / f"{first:06}.jpg"
        if number == first:
            path.write_bytes(items[first])
        else:
            try:
                os.link(original, path)
            except OSError:
                shutil.copyfile(original, path)


def shards(folder: Path, out: Path) -> None:
    """An image folder as Parquet, 500 photographs a file, 100 a row group."""
    import pyarrow as pa
    from pyarrow import parquet

    found = data.listing(f"imagefolder:{folder}", "all")
    out.mkdir()
    for number, start in enumerate(range(0, len(found), 500)):
        rows = np.arange(start, min(start + 500, len(found)))
        column = [{"bytes": path.read_bytes(), "path": path.name} for path in found.fetch(rows)]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = pa.table({"image": pa.array(column, kind), "label": found.labels[rows]})
        parquet.write_table(table, out / f"train-{number:05}.parquet", row_group_size=100)


def contenders(folder: Path, workers: int, batch: int) -> list[Epochs]:
    found = data.listing(f"imagefolder:{folder}", "all")
    stream = training.ImageStream(found, PREPARATION, size=batch, augment=AUGMENT, workers=workers)
    plain = DataLoader(
        Plain(list(found.fetch(np.arange(len(found)))), found.labels),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )

    def pids() -> list[int]:
        return [worker.pid for worker in getattr(getattr(plain, "_iterator", None), "_workers", [])]

    return [
        Epochs("paring.training.ImageStream", stream.epoch, stream.decoders.pids),
        Epochs("DataLoader and Pillow", lambda epoch: iter(plain), pids),
    ]


def speed(folder: Path, given: argparse.Namespace) -> list[str]:
    lines = [
        "| workers | input pipeline | images/s, median | lowest | highest | CPU ms an image | times as fast |",
        "|---|---|---|---|---|---|---|",
    ]
    for workers in given.workers:
        both = contenders(folder, workers, given.batch)
        for number in range(given.rounds + 1):
            for one in both if number % 2 else both[::-1]:
                one.run(number, counted=number > 0)
        base = median(both[1].rates)
        for one in both:
            cells = [median(one.rates), min(one.rates), max(one.rates)]
            lines.append(
                f"| {workers} | {one.name} | {' | '.join(f'{c:.0f}' for c in cells)} | {median(one.costs):.2f} "
                f"| {median(one.rates) / base:.2f} |"
            )
    return lines


def flatness(spec: str, given: argparse.Namespace) -> str:
    """A row: memory over one epoch, warm-up left out."""
    found = data.listing(spec, "all")
    workers = given.workers[-1]
    stream = training.ImageStream(found, PREPARATION, size=given.batch, augment=AUGMENT, workers=workers, window=512)
    seen = []
    for step, _ in enumerate(stream.epoch(0)):
        if step % 2 == 0:
            seen.append(memory(stream.decoders.pids()))
    stream.close()
    warm = np.array(seen[len(seen) // 2 :])  # windows and queues are full by then
    own, mapped = warm.T
    quarter = max(1, len(own) // 4)
    drift = own[-quarter:].mean() - own[:quarter].mean()
    return (
        f"| {spec.partition(':')[0]} | {len(found):,} | {own.min():.0f} | {own.max():.0f} | {np.ptp(own):.0f} "
        f"| {drift:+.1f} | {np.ptp(mapped):.0f} |"
    )


def flat(folder: Path, given: argparse.Namespace, scratch: Path) -> list[str]:
    shards(folder, scratch / "shards")
    kinds = [f"imagefolder:{folder}", f"parquet:{scratch / 'shards'}"]
    try:
        import datasets

        datasets.config.HF_DATASETS_CACHE = scratch / "cache"
        datasets.disable_progress_bars()
        kinds.append(f"hub:{scratch / 'shards'}")
    except ImportError:
        print("the datasets library is not installed: no row for hub:", file=sys.stderr)
    lines = [
        "| source | images | own MiB, least | most | most - least | last quarter - first | mapped MiB, most - least |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [flatness(kind, given) for kind in kinds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("PARING_DATA"), help="default: PARING_DATA")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each that are counted")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=1000, help="entries of the timed epoch")
    parser.add_argument("--entries", type=int, default=5000, help="entries of the watched epoch; 0 for none")
    parser.add_argument("--threads", type=int, default=1, help="of the training process, which augments for Stream")
    parser.add_argument("--markdown", type=Path, help="write the tables here, too")
    given = parser.parse_args()
    if not given.data:
        parser.error("--data or PARING_DATA must name the folder with imagenet_samples/")
    torch.set_num_threads(given.threads)
    source = Path(given.data) / "imagenet_samples"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        photographs(source, scratch / "timed", given.images)
        lines = speed(scratch / "timed", given)
        if given.entries:
            photographs(source, scratch / "watched", given.entries)
            lines += ["", *flat(scratch / "watched", given, scratch)]
    from PIL import __version__ as pillow

    lines += [
        "",
        f"{given.images:,} photographs an epoch, batches of {given.batch}, {given.rounds} epochs of each, alternating; "
        f"torch {torch.__version__}, Pillow {pillow}, {os.cpu_count()} cores.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.markdown:
        training.write_atomic(given.markdown, text.encode())


if __name__ == "__main__":
    main()
