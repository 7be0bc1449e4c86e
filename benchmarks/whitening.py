"""Whitening measured on CIFAR-10, and the picture of it in the docs.

Prints how far the covariance of whitened images is from the identity, and what eps leaves of it, then writes a grid of
images before (upper rows) and after ZCA whitening (lower rows).

    python benchmarks/whitening.py cifar10/ --images 10000 --picture docs/pictures/zca.png

`cifar10/` holds the Parquet files of the Hugging Face hub's layout.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import torch
from PIL import Image

from paring.layers import Whitening


def load(folder: Path, count: int) -> torch.Tensor:
    """(count, 3, 32, 32) training images in [0, 1], in the files' order."""
    pixels: list[np.ndarray] = []
    for path in sorted(folder.glob("train-*.parquet")):
        column = parquet.read_table(path, columns=["image"])["image"].slice(0, count - len(pixels))
        pixels += [np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in column.to_pylist()]
    if len(pixels) < count:
        raise SystemExit(f"{folder} holds {len(pixels)} training images, not {count}")
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


def contrast_normalized(images: torch.Tensor) -> torch.Tensor:
    """Every image with mean 0 and norm 55: the pre-processing CIFAR pipelines put in front of ZCA with eps = 0.1."""
    rows = images.flatten(1)
    rows = rows - rows.mean(1, keepdim=True)
    return (rows * 55 / rows.norm(dim=1, keepdim=True).clamp_min(1e-8)).view_as(images)


def distance(images: torch.Tensor) -> float:
    """Largest difference between the covariance of the images' values and the identity, in float64, by NumPy."""
    covariance = np.cov(images.flatten(1).double().numpy(), rowvar=False, bias=True)
    return float(np.abs(covariance - np.eye(len(covariance))).max())


def shades(images: torch.Tensor) -> torch.Tensor:
    """Into [0, 1], 0 at the middle: each image by its own 99.5 % quantile."""
    scale = images.flatten(1).abs().quantile(0.995, dim=1).view(-1, 1, 1, 1)
    return (images / scale / 2 + 0.5).clamp(0, 1)


def picture(before: torch.Tensor, after: torch.Tensor, path: Path, zoom: int = 2, columns: int = 12) -> None:
    """Rows of images, each with its whitened row underneath."""
    rows = []
    for first in range(0, len(before), columns):
        for images in (before, after):
            tiles = images[first : first + columns].permute(0, 2, 3, 1).numpy()
            tiles = np.pad(tiles, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
            rows.append(np.concatenate(list(tiles), 1))
    grid = (np.concatenate(rows) * 255).round().astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (grid.shape[1] * zoom, grid.shape[0] * zoom)
    Image.fromarray(grid).resize(size, Image.Resampling.NEAREST).quantize(128).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/zca.png"))
    arguments = parser.parse_args()
    images = load(arguments.cifar10, arguments.images)
    print(f"{len(images):,} images of CIFAR-10, values in [0, 1], {images[0].numel():,} features")
    print(f"{'method':8} {'eps':>8} {'type':>8} {'|cov - I|':>10} {'fit, s':>7}")
    for method, eps in (("pca", 0.0), ("zca", 0.0), ("zca", 1e-5)):
        start = time.perf_counter()
        whiten = Whitening.fit(images, method, eps=eps, dtype=torch.float64)
        took = time.perf_counter() - start
        for dtype in (torch.float64, torch.float32) if eps == 0 else (torch.float64,):
            kind = str(dtype).removeprefix("torch.")
            print(f"{method:8} {eps:8.0e} {kind:>8} {distance(whiten.to(dtype)(images)):10.1e} {took:7.1f}", flush=True)
    normalized = contrast_normalized(images)
    whitened = Whitening.fit(normalized, "zca", eps=0.1)(normalized[:36])
    picture(images[:36], shades(whitened), arguments.picture)


if __name__ == "__main__":
    main()
