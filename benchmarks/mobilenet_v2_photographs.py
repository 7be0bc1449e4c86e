"""MobileNet v2 with torchvision's published ImageNet weights, on a Parquet file of labeled ImageNet photographs.

    python benchmarks/mobilenet_v2_photographs.py --weights mobilenet_v2-b0353104.pth --photographs FOLDER_OR_FILE

The weights are loaded strictly through `paring.zoo.load_weights`. Photographs: short side 256 (bilinear), center 224,
ImageNet mean and deviation. Prints how many have their label as the first answer, and among the first five. A few
hundred photographs that may have been trained on say whether the network is the right one; they are no ImageNet
accuracy.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pyarrow import parquet

from paring import zoo

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepared(encoded: bytes, short: int = 256, side: int = 224) -> np.ndarray:
    """(3, side, side) float32 of an encoded image."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    width, height = image.size
    scale = short / min(width, height)
    if scale != 1:
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.float32) / 255
    return ((pixels - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)


def photographs(path: Path) -> tuple[list[bytes], list[int]]:
    """Encoded images and class indices of every Parquet file there."""
    files = sorted(path.glob("**/*.parquet")) if path.is_dir() else [path]
    if not files:
        raise SystemExit(f"{path}: no Parquet file")
    rows = [row for file in files for row in parquet.read_table(file, columns=["image", "label"]).to_pylist()]
    return [row["image"]["bytes"] for row in rows], [row["label"] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", type=Path, required=True, help="torchvision's MobileNetV2 weights, .pth")
    parser.add_argument("--photographs", type=Path, required=True, help="Parquet file or folder: image, label")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    network = zoo.create("mobilenet_v2").eval()
    report = zoo.load_weights(network, arguments.weights)
    images, labels = photographs(arguments.photographs)
    ranks = []
    with torch.inference_mode():
        for start in range(0, len(images), 25):
            batch = np.stack([prepared(image) for image in images[start : start + 25]])
            best = network(torch.from_numpy(batch)).topk(5).indices.tolist()
            ranks += [
                answers.index(label) if label in answers else 5
                for answers, label in zip(best, labels[start:], strict=False)
            ]
    first, five = sum(rank == 0 for rank in ranks), sum(rank < 5 for rank in ranks)
    print(f"{len(report.loaded)} tensors loaded strictly, layout {report.layout}")
    print(f"right on {first} of {len(ranks)} photographs ({100 * first / len(ranks):.1f} %)")
    print(f"label among the first five on {five} ({100 * five / len(ranks):.1f} %)")


if __name__ == "__main__":
    main()
