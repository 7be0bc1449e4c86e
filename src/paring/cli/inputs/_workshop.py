"""What ``train``, ``compress`` and ``demo`` have in common: a network with its training and test data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.cli.inputs._networks import preparing
from paring.cli.render._output import note_bad, rank
from paring.errors import ArgumentError
from paring.image import Preparation

if TYPE_CHECKING:
    from torch import nn

    from paring.networks import Named
    from paring.training.input import Images


@dataclass(frozen=True)
class Workshop:
    """A network on the bench.

    Attributes:
        named: what the user called it.
        module: the network, in eval mode.
        train: training set.
        test: test set, prepared alike.
    """

    named: Named
    module: nn.Module
    train: Images
    test: Images

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        return sum(parameter.numel() for parameter in self.module.parameters())


def open_workshop(
    net: str,
    weights: Path | None,
    spec: str,
    val: str | None,
    asked: dict[str, Any],
    seed: int,
    threads: int,
    workers: int | None = None,
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
        workers: find both sets without decoding them, to be decoded in so many processes; None: hold them in memory.

    Raises:
        ArgumentError, CheckpointError, DataError: as the loader and the builder do.
    """
    from paring import networks

    named = networks.find(net, weights)
    wanted = preparing(named, dict(asked))
    bad = asked.get("on_bad_image", "stop")
    train = _training_set(spec, wanted, workers, bad)
    test = _test_set(val or spec, train.preparation, asked, workers, bad)
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
        note_bad((*train.first.bad, *test.first.bad))
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    return Workshop(named, networks.build(named, train.first), train, test)


def _training_set(spec: str, wanted: dict[str, Any], workers: int | None, bad: str) -> Images:
    """In memory, or as it lies there; how its images become the network's input is found from it."""
    from paring import data
    from paring.training.input import Images

    if workers is None:
        return Images(data.load(spec, "train", **wanted))
    found = data.listing(spec, "train", limit=wanted.pop("limit", None))
    if found.plain:
        raise ArgumentError("plain pixels cannot be streamed", where=spec, fix="Leave --workers out")
    preparation = wanted.pop("preparation", None) or found.preparation(**wanted)
    return Images(found, preparation, workers=workers, on_bad_image=bad)


def _test_set(spec: str, preparation: Preparation, asked: dict[str, Any], workers: int | None, bad: str) -> Images:
    """Likewise; plain pixels, in memory anyway, are loaded."""
    from paring import data
    from paring.training.input import Images

    if workers is not None and not (found := data.listing(spec, "test", limit=asked.get("limit"))).plain:
        return Images(found, preparation, workers=workers, on_bad_image=bad)
    loading = {key: asked[key] for key in ("limit", "on_bad_image") if key in asked}
    return Images(data.load(spec, "test", preparation=preparation, **loading))
