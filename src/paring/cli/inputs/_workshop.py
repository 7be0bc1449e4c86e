"""What ``train``, ``compress`` and ``demo`` have in common: a network with its training and test data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paring.cli.inputs._networks import preparing
from paring.cli.render._output import note_bad, rank
from paring.errors import ArgumentError
from paring.image import Preparation

if TYPE_CHECKING:
    from torch import nn

    from paring.data import Dataset, Listing
    from paring.networks import Named


@dataclass(frozen=True)
class Workshop:
    """A network on the bench.

    Attributes:
        named: what the user called it.
        module: the network, in eval mode.
        train: training set.
        test: test set, prepared alike.
        listing: the training set where it is streamed; ``train`` is then one image of it.
        test_listing: likewise the test set.
    """

    named: Named
    module: nn.Module
    train: Dataset
    test: Dataset
    listing: Listing | None = None
    test_listing: Listing | None = None

    @property
    def train_images(self) -> int:
        """How many there are to train on."""
        return len(self.train if self.listing is None else self.listing)

    @property
    def test_images(self) -> int:
        """How many there are to test on."""
        return len(self.test if self.test_listing is None else self.test_listing)

    @property
    def digest(self) -> str:
        """What tells the training data from other data; of a stream, whose pixels nobody has seen yet, its labels."""
        if self.listing is None:
            return self.train.digest
        words = repr((self.listing.name, self.listing.classes, self.train.preparation)).encode()
        return hashlib.sha256(words + self.listing.labels.astype("<i8").tobytes()).hexdigest()

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def maker(self) -> Callable[[], nn.Module]:
        """A function, named after the network, that builds it anew: with its checkpoint's weights, else fresh ones."""
        from paring import networks

        def make() -> nn.Module:
            return networks.build(self.named, self.train)

        make.__name__ = self.named.title
        return make

    def float_network(self, run: Path) -> nn.Module:
        """The network with the weights that a run began to compress, in eval mode."""
        from paring.training.loop import load_checkpoint

        network = self.maker()()
        tensors, _ = load_checkpoint(run / "1-train.safetensors")
        network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()})
        return network.eval()

    def error(self) -> float:
        """Test error of the network as it is, fraction."""
        from paring.training.loop import error_rate

        return error_rate(self.module, images(self.test), self.test.labels)


def images(data: Dataset) -> Any:
    """A whole set as the network sees it: float32 tensor ``(N, C, H, W)``."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(data.prepared().transpose(0, 3, 1, 2)))


def open_workshop(
    net: str,
    weights: Path | None,
    spec: str,
    val: str | None,
    asked: dict[str, Any],
    seed: int,
    threads: int,
    stream: bool = False,
) -> Workshop:
    """Load the data and build the network.

    Args:
        net: NET as the user wrote it.
        weights: the user's checkpoint.
        spec: training data; its test split is the test set unless ``val`` is given.
        val: another data set to test on, its test split.
        asked: size, mean, std, limit and on_bad_image, for the loader.
        seed: of fresh weights.
        threads: for torch.
        stream: find both sets without decoding them; a test set of plain pixels, in memory anyway, is loaded.

    Raises:
        ArgumentError, CheckpointError, DataError: as the loader and the builder do.
    """
    from paring import data, networks

    named = networks.find(net, weights)
    wanted = preparing(named, dict(asked))
    loading: dict[str, Any] = {key: asked[key] for key in ("limit", "on_bad_image") if key in asked}
    listing = test_listing = None
    if stream:
        listing, preparation = _listed(spec, wanted)
        train = listing.first(preparation, asked.get("on_bad_image", "stop"))
        test_listing = data.listing(val or spec, "test", limit=asked.get("limit"))
    else:
        train = data.load(spec, "train", **wanted)
    if test_listing is None or test_listing.plain:
        test_listing, test = None, data.load(val or spec, "test", preparation=train.preparation, **loading)
    else:
        test = test_listing.first(train.preparation, asked.get("on_bad_image", "stop"))
    if test.classes != train.classes:
        from paring.errors import DataError

        raise DataError(
            "training and test data have different classes",
            where=val or spec,
            found=f"{len(test.classes)} classes ({', '.join(test.classes[:5])}, ...)",
            expected=f"{len(train.classes)} classes ({', '.join(train.classes[:5])}, ...)",
        )
    import torch

    if not rank():
        note_bad((*train.bad, *test.bad))
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    return Workshop(named, networks.build(named, train), train, test, listing, test_listing)


def _listed(spec: str, wanted: dict[str, Any]) -> tuple[Listing, Preparation]:
    """The training set as it lies there, and how its images become the network's input."""
    from paring import data

    found = data.listing(spec, "train", limit=wanted.pop("limit", None))
    if found.plain:
        raise ArgumentError("plain pixels cannot be streamed", where=spec, fix="Leave --workers out")
    return found, wanted.pop("preparation", None) or found.preparation(**wanted)
