"""What is said about the images that a training reads: damaged ones, and how to go on when it was stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from paring.cli.render._output import note, note_bad

if TYPE_CHECKING:
    from paring.training import World
    from paring.training.input import Images


@contextmanager
def telling(world: World, folder: Path, images: Sequence[Images]) -> Iterator[None]:
    """Around a training: where it ends early, say how to go on and which damaged images were left out."""
    from paring import training

    try:
        yield
    except BaseException as error:  # the other processes may be gone, so each says what it met itself
        if isinstance(error, KeyboardInterrupt) and world.main and training.Checkpoints(folder).paths():
            note(f"Its state is in {folder}; the same command with --resume goes on.")
        note_bad(list(chain(*(one.bad for one in images))))
        raise


def all_met(world: World, images: Images) -> list[str]:
    """Places of the damaged images that any process met in a streamed set.

    From epoch to epoch an image is now in one process's share and now in another's, so places are joined, not counts.
    """
    return list(dict.fromkeys(chain(*world.gathered(list(images.bad)))))
