"""What ``train``, ``compress`` and ``demo`` have in common: a network with its training and test data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paring.cli.inputs._networks import note_channels, note_measured, preparing
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
        asked: size, mean, std, white, limit and on_bad_image, for the loader; classes and strict.
        seed: of fresh weights.
        threads: for torch.
        workers: find both sets without decoding them, to be decoded in so many processes; None: hold them in memory.

    Raises:
        ArgumentError, CheckpointError, DataError: as the loader and the builder do.
    """
    from paring import networks

    names, strict = asked.pop("classes", ()), asked.pop("strict", True)
    named = networks.find(net, weights, strict)
    wanted = preparing(named, dict(asked))
    bad = asked.get("on_bad_image", "stop")
    import torch

    torch.set_num_threads(threads)

    def load(**more: Any) -> tuple[Images, Images]:
        train = _training_set(spec, {**wanted, **more}, workers, bad)
        test = _test_set(val or spec, train.preparation, asked, workers, bad, val not in (None, spec))
        return _named_alike(train, test, names or named.classes, bool(names))

    def built(images: Images) -> tuple[nn.Module, tuple[str, ...]]:
        torch.manual_seed(seed)
        return networks.fitted(named, images.first)

    train, test = load()
    try:
        module, classes = built(train)
    except networks.ChannelsError as error:
        note_channels(error)
        train, test = load(channels=error.channels)
        module, classes = built(train)
    train, test = renamed(train, classes), renamed(test, classes)
    if named.weights is not None:
        note_measured(named, asked, train.preparation)
    if not rank():
        note_bad((*train.first.bad, *test.first.bad))
    return Workshop(named, module, train, test)


def _named_alike(train: Images, test: Images, names: tuple[str, ...], told: bool) -> tuple[Images, Images]:
    """Both sets with labels of one meaning: the network's names, else those of the set that has more of them."""
    from paring import data

    if not names and test.classes != train.classes:
        names = max(train.classes, test.classes, key=len)
        if not (data.numbered(train.classes) and data.numbered(test.classes)) and names is test.classes:
            names = train.classes
    return renamed(train, names or train.classes, told), renamed(test, names or train.classes, told)


def renamed(images: Images, names: tuple[str, ...], told: bool = False) -> Images:
    """The same set with indices into ``names`` for labels (:func:`paring.data.aligned`)."""
    from paring import data
    from paring.training.input import Images

    if images.classes == names:
        return images
    if images.listing is None:
        return Images(data.aligned(images.first, names, told))
    whole = data.aligned(images.listing, names, told)
    return Images(whole, images.preparation, workers=images.workers, on_bad_image=images.on_bad_image)


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


def _test_set(
    spec: str, preparation: Preparation, asked: dict[str, Any], workers: int | None, bad: str, own: bool
) -> Images:
    """Likewise; plain pixels, in memory anyway, are loaded.

    Args:
        spec: the set.
        preparation: the training set's.
        asked: as for :func:`open_workshop`.
        workers: likewise.
        bad: what to do about damaged images.
        own: the user named a set to test on: where it has no test part, all of it is one.
    """
    from paring import data
    from paring.training.input import Images

    split = data.test_part(spec) if own else "test"
    if workers is not None and not (found := data.listing(spec, split, limit=asked.get("limit"))).plain:
        return Images(found, preparation, workers=workers, on_bad_image=bad)
    loading = {key: asked[key] for key in ("limit", "on_bad_image") if key in asked}
    return Images(data.load(spec, split, preparation=preparation, **loading))
