"""The images that ``paring train`` and ``paring distill`` learn from and score on, in memory or streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from paring.cli.render._output import note, note_bad

if TYPE_CHECKING:
    import torch

    from paring.cli.inputs._workshop import Workshop
    from paring.training import Evaluate, Settings, World
    from paring.training.input import InOrder, Source


@contextmanager
def telling(world: World, folder: Path, streams: Sequence[object]) -> Iterator[None]:
    """Around a training: where it ends early, say how to go on and which damaged images were left out."""
    from paring import training

    try:
        yield
    except BaseException as error:  # the other processes may be gone, so each says what it met itself
        if isinstance(error, KeyboardInterrupt) and world.main and training.Checkpoints(folder).paths():
            note(f"Its state is in {folder}; the same command with --resume goes on.")
        note_bad(list(chain(*(getattr(stream, "bad", {}) for stream in streams))))
        raise


def all_met(world: World, stream: object) -> list[str]:
    """Places of the damaged images that any process met in a stream.

    From epoch to epoch an image is now in one process's share and now in another's, so places are joined, not counts.
    """
    return list(dict.fromkeys(chain(*world.gathered(list(getattr(stream, "bad", {}))))))


def scorer(shop: Workshop, tests: InOrder | None) -> Evaluate:
    """Scores on the test set, in memory or streamed."""
    from paring import training

    return training.evaluator(shop.test) if tests is None else lambda network: training.score(network, tests)


def source(
    shop: Workshop,
    settings: Settings,
    workers: int = 0,
    bad: str = "stop",
    device: torch.device | None = None,
) -> Source:
    """The training set as batches: any object that is a :class:`paring.training.Source` will do."""
    from paring import training

    preparation = shop.train.preparation
    # A GPU augments what it trains on; of other devices, Metal lacks the double precision that crops are computed in.
    place = device if device is not None and device.type == "cuda" else "cpu"
    if shop.listing is not None:
        return training.ImageStream(
            shop.listing,
            preparation,
            size=settings.batch,
            seed=settings.seed,
            augment=settings.augment,
            workers=workers,
            on_bad_image=bad,
            channels_last=settings.channels_last,
            device=place,
        )
    return training.Batches(
        shop.train.images,
        shop.train.labels,
        mean=preparation.mean,
        std=preparation.std,
        size=settings.batch,
        seed=settings.seed,
        augment=settings.augment,
        channels_last=settings.channels_last,
        device=place,
    )


def scored(shop: Workshop, world: World, workers: int, bad: str) -> InOrder | None:
    """This process's share of a test set that is streamed; None where it is in memory."""
    from paring import training

    if shop.test_listing is None:
        return None
    return training.InOrder(
        shop.test_listing,
        shop.train.preparation,
        workers=workers,
        on_bad_image=bad,
        rank=world.rank,
        world=world.size,
    )
