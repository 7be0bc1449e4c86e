"""Hinton's MNIST experiment: teacher, student alone, student distilled, and students that never saw some digits.

    python benchmarks/hinton_mnist.py --mnist FOLDER_OF_IDX_FILES [--seeds 0 1 2] [--threads 2] [--markdown FILE]

Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 3. The teacher is 784-1200-1200-10 with ReLU, dropout (mild, for
the epochs are few), the weights into a unit held to squared length 15, and digits moved by up to 2 whole pixels. Every
student is 784-800-800-10 without any of these, and sees the digits where they are. All train with Adam at batch 256
under a cosine. A student is taught by the soft targets at T = 20 of the teacher of its own seed, read from a file of
cached logits, with a small weight on the labels.

A bias is moved after training, by one number. `on the test set` takes the one with the fewest test errors, which is
what the paper reports; `on the training set` takes the one with the fewest errors on the 60,000 training digits, so
that the test set stays unseen.

Every finished (system, seed) is kept in a JSON file under the folder --out and is not computed again, unless another
setting is given. Cost, at 2.4 M and 1.3 M weights: 0.75 and 0.38 TFLOP an epoch of 60,000 digits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from paring import data, training
from paring.distillation import cached_logits, distillation

#: What the paper counts among 10,000 test digits, all and threes; its last column is a percentage there.
PAPER = {
    "teacher": "67",
    "plain": "146",
    "distilled": "74",
    "no threes": "206, 133 of them threes",
    "no threes, bias moved on the test set": "109, 14 of them threes",
    "no threes, bias moved on the training set": "-",
    "only 7 and 8": "47.3 %",
    "only 7 and 8, biases moved on the test set": "13.2 %",
    "only 7 and 8, biases moved on the training set": "-",
}
#: Steps between two looks at the length of the teacher's weights; Adam cannot grow them far in so few.
_HOLD = 4
#: System: (which digits it is trained on, which biases may be moved afterwards).
STUDENTS = {
    "plain": (range(10), ()),
    "distilled": (range(10), ()),
    "no threes": ([0, 1, 2, 4, 5, 6, 7, 8, 9], (3,)),
    "only 7 and 8": ([7, 8], (7, 8)),
}


class Digits:
    """Shuffled batches of some of the digits, each moved by up to ``jitter`` whole pixels; a training source."""

    def __init__(self, dataset: data.Dataset, digits, size: int, seed: int, jitter: int = 0) -> None:
        self.images = torch.from_numpy(dataset.prepared().transpose(0, 3, 1, 2).copy())
        self.labels = torch.from_numpy(dataset.labels)
        self.rows = torch.from_numpy(np.flatnonzero(np.isin(dataset.labels, list(digits))))
        self.size, self.seed, self.jitter = min(size, len(self.rows)), seed, jitter

    def __len__(self) -> int:
        return len(self.rows) // self.size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[training.Batch]:
        draw = training.generator(self.seed, epoch)
        order = self.rows[torch.randperm(len(self.rows), generator=draw)]
        moves = torch.randint(2 * self.jitter + 1, (2, len(order)), generator=draw)
        for number in range(start, len(self)):
            part = slice(number * self.size, (number + 1) * self.size)
            rows = order[part]
            yield training.Batch(self._moved(self.images[rows], *moves[:, part]), self.labels[rows], rows)

    def _moved(self, images: Tensor, down: Tensor, right: Tensor) -> Tensor:
        if not self.jitter:
            return images
        side = images.shape[-1]
        wide = nn.functional.pad(images[:, 0], [self.jitter] * 4)
        windows = wide.unfold(1, side, 1).unfold(2, side, 1)
        return windows[torch.arange(len(images)), down, right].unsqueeze(1)


class Logits(nn.Linear):
    """The last layer, in float32 at any precision: what a student learns are small differences between logits."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def perceptron(hidden: int, seed: int, dropout: tuple[float, float] = (0.0, 0.0)) -> nn.Sequential:
    """``dropout`` of the pixels and of the hidden units."""
    torch.manual_seed(training.derived_seed(seed, hidden, "weights"))
    pixels, units = dropout
    layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(pixels)]
    for inputs in (784, hidden):
        layers += [nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(units)]
    return nn.Sequential(*layers, Logits(hidden, 10))


def train(
    network: nn.Module,
    digits: Digits,
    loss: training.Loss,
    epochs: int,
    given: argparse.Namespace,
    squared: float = 0.0,
) -> float:
    """Seconds it took; ``squared`` is the largest squared length of the weights into a unit, 0 for any."""
    weights = [layer.weight for layer in network if isinstance(layer, nn.Linear)]

    @torch.no_grad()
    def hold(step: int) -> None:
        for weight in weights if squared and step % _HOLD == 0 else ():
            weight.copy_(weight.renorm(2, 0, squared**0.5))

    optimizer = torch.optim.Adam(network.parameters(), given.lr, fused=True)
    stepper = training.Stepper(network, loss, optimizer, precision=given.precision)
    position = training.fit(
        network, digits, optimizer, epochs=epochs, schedule="cosine", stepper=stepper, after_step=hold, progress=False
    )
    network.eval()
    return position.seconds


@torch.inference_mode()
def logits(network: nn.Module, dataset: data.Dataset) -> np.ndarray:
    """float32 ``(N, 10)``."""
    network.eval()
    return np.concatenate([network(torch.from_numpy(x)).numpy() for x, _ in dataset.batches(2000)])


def count(answers: np.ndarray, labels: np.ndarray, moved: tuple[int, ...] = (), by: float = 0.0) -> dict:
    """Errors, and those on threes, with ``by`` added to the logits of ``moved``."""
    answers = answers + by * np.isin(np.arange(10), moved)
    wrong = answers.argmax(1) != labels
    return {"errors": int(wrong.sum()), "threes": int(wrong[labels == 3].sum()), "bias": by}


def best_bias(answers: np.ndarray, labels: np.ndarray, moved: tuple[int, ...]) -> float:
    """The number, a multiple of 0.1, that leaves the fewest errors when added to the biases of ``moved``."""
    steps = [round(0.1 * k, 1) for k in range(-200, 201)]
    return min(steps, key=lambda by: (count(answers, labels, moved, by)["errors"], abs(by)))


class Kept:
    """Results on disk, each with the settings that it depends on."""

    def __init__(self, folder: Path, settings: dict) -> None:
        self.path, self.settings = folder / "results.json", settings
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = json.loads(self.path.read_text()) if self.path.exists() else {}

    def get(self, system: str, seed: int) -> dict | None:
        row = self.rows.get(f"{system}/{seed}")
        return row["result"] if row and row["settings"] == self.settings else None

    def put(self, system: str, seed: int, result: dict) -> None:
        self.rows[f"{system}/{seed}"] = {"settings": self.settings, "result": result}
        training.write_atomic(self.path, json.dumps(self.rows, indent=1).encode())


def teach(seed: int, sets, given: argparse.Namespace, kept: Kept) -> nn.Module:
    """The seed's teacher, trained or as it was kept."""
    network, path = (
        perceptron(given.teacher_units, seed, tuple(given.dropout)),
        given.out / f"teacher-{seed}.safetensors",
    )
    if kept.get("teacher", seed) and path.exists():
        network.load_state_dict(training.load_checkpoint(path)[0])
        return network.eval()
    digits = Digits(sets[0], range(10), given.batch, training.derived_seed(seed, "teacher"), given.jitter)
    seconds = train(network, digits, training.cross_entropy(), given.teacher_epochs, given, squared=15.0)
    result = {"teacher": count(logits(network, sets[1]), sets[1].labels), "seconds": seconds}
    training.save_checkpoint(path, network.state_dict(), {})
    (given.out / f"teacher-{seed}.logits.safetensors").unlink(missing_ok=True)
    kept.put("teacher", seed, result)
    return network


def learn(system: str, seed: int, teacher: nn.Module, sets, given: argparse.Namespace, kept: Kept) -> None:
    """One student: trained, its biases moved where the system says so, and kept."""
    digits, moved = STUDENTS[system]
    loss = training.cross_entropy()
    if system != "plain":
        cache = cached_logits(given.out / f"teacher-{seed}.logits.safetensors", [teacher], sets[0])
        loss = distillation(cache, given.temperature, 1 - given.hard_weight)
    network = perceptron(given.student_units, seed)
    source = Digits(sets[0], digits, given.batch, training.derived_seed(seed, "student"))
    seconds = train(network, source, loss, given.student_epochs, given)
    answers = [logits(network, dataset) for dataset in sets]
    result = {system: count(answers[1], sets[1].labels), "seconds": seconds}
    word = "bias" if len(moved) == 1 else "biases"
    for name, where in (("test", 1), ("training", 0)) if moved else ():
        by = best_bias(answers[where], sets[where].labels, moved)
        result[f"{system}, {word} moved on the {name} set"] = count(answers[1], sets[1].labels, moved, by)
    kept.put(system, seed, result)


def table(seeds: list[int], images: int, kept: Kept) -> list[str]:
    """Markdown rows: errors of each seed, their mean, those on threes, the bias, seconds, the paper's."""
    head = ["system", *(f"seed {seed}" for seed in seeds), "mean errors", "error", "on threes", "bias", "s", "paper"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in PAPER:
        system = name.partition(",")[0]
        rows = [row for seed in seeds if (row := kept.get(system, seed))]
        if not rows or len(rows) < len(seeds) or name not in rows[0]:
            continue
        errors = [row[name]["errors"] for row in rows]
        biases = ", ".join(f"{row[name]['bias']:+.1f}" for row in rows) if "moved" in name else "-"
        cells = [name, *map(str, errors), f"{np.mean(errors):.1f}", f"{100 * np.mean(errors) / images:.2f} %"]
        cells += [f"{np.mean([row[name]['threes'] for row in rows]):.1f}", biases]
        cells += [f"{np.mean([row['seconds'] for row in rows]):.0f}" if name == system else "-", PAPER[name]]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mnist", type=Path, required=True, help="folder of the four IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/hinton_mnist"))
    parser.add_argument("--markdown", type=Path, help="write the table here, too")
    parser.add_argument("--teacher-epochs", type=int, default=60)
    parser.add_argument("--student-epochs", type=int, default=60)
    parser.add_argument("--teacher-units", type=int, default=1200)
    parser.add_argument("--student-units", type=int, default=800)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--precision", default="bf16", help="of the hidden layers while they train: bf16 or fp32")
    parser.add_argument("--jitter", type=int, default=2, help="pixels, of the teacher's digits")
    parser.add_argument("--dropout", type=float, nargs=2, default=[0.1, 0.3], help="of pixels and of hidden units")
    parser.add_argument("--temperature", type=float, default=20.0)
    parser.add_argument("--hard-weight", type=float, default=0.1, help="share of the labels in the students' loss")
    parser.add_argument("--limit", type=int, help="use only so many digits; for trying the script")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plain = {"mean": (0.0,), "std": (1.0,), "limit": given.limit}
    sets = [data.load(f"mnist:{given.mnist}", split, **plain) for split in ("train", "test")]
    away = ("mnist", "seeds", "out", "markdown")
    settings = {name: value for name, value in vars(given).items() if name not in away}
    kept = Kept(given.out, settings | {"data": sets[0].digest})
    begun = time.perf_counter()
    for seed in given.seeds:
        teacher = teach(seed, sets, given, kept)
        print(f"seed {seed}, teacher: {kept.get('teacher', seed)}", flush=True)
        for system in STUDENTS:
            if kept.get(system, seed) is None:
                learn(system, seed, teacher, sets, given, kept)
            print(f"seed {seed}, {system}: {kept.get(system, seed)}", flush=True)
    lines = table(given.seeds, len(sets[1]), kept)
    text = "\n".join(lines) + "\n"
    errors = {s: sum(kept.get(s, seed)[s]["errors"] for seed in given.seeds) for s in ("plain", "distilled")}
    ratio = errors["distilled"] / max(errors["plain"], 1)
    kept_to = "holds" if ratio <= 2 / 3 else "DOES NOT HOLD"
    text += f"\nDistilled / plain errors: {ratio:.3f}; at most two thirds: {kept_to}. "
    text += (
        f"{len(sets[0]):,} training and {len(sets[1]):,} test digits; {given.teacher_epochs} epochs for the teacher, "
    )
    text += f"{given.student_epochs} for a student; dropout {given.dropout}; hard weight {given.hard_weight:g}; "
    text += f"hidden layers train in {given.precision}; "
    text += f"{given.threads} threads; "
    text += f"torch {torch.__version__}.\n"
    print(f"\n{text}\n{time.perf_counter() - begun:.0f} s in this call")
    if given.markdown:
        training.write_atomic(given.markdown, text.encode())


if __name__ == "__main__":
    main()
