"""Deep Compression: train, prune, retrain, share weights, tune the centroids, write the file.

Han, Mao, Dally, "Deep compression: compressing deep neural networks with pruning, trained quantization and Huffman
coding", ICLR 2016, arXiv 1510.00149. The presets whose names begin with ``paper`` do what the paper does; the others
go further: one magnitude threshold for all layers lowered in many small steps, the float network as teacher, few
centroids, 16-bit numbers, shared biases, idle weights dropped. See ``docs/recipes/deep_compression.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from paring.data import Dataset
from paring.errors import ArgumentError
from paring.recipes._job import STAGES, Job
from paring.recipes._settings import Settings
from paring.recipes.builtin._deep_compression_presets import default_preset, preset
from paring.recipes.run._inputs import Network, maker, open_sets
from paring.record import Record
from paring.training.loop import Clock


def deep_compression(
    network: Network,
    data: str | tuple[Dataset, Dataset],
    run: str | Path,
    *,
    settings: Settings | str | None = None,
    seed: int = 0,
    until: str | None = None,
    restart: str | None = None,
    output: str | Path | None = None,
    coding: str = "adaptive",
    network_args: Mapping[str, Any] | None = None,
    data_args: Mapping[str, Any] | None = None,
    hold_out: int = 0,
    threads: int | None = None,
    checkpoint_seconds: float = 60.0,
    checkpoint_steps: int = 0,
    commands: Sequence[str] = (),
    log: Callable[[str], None] = print,
    progress: bool = True,
) -> Record:
    """Run the recipe in a folder; called again on the same folder after a kill, it goes on to the same bytes.

    Args:
        network: zoo name, or a function that makes the network with fresh random weights.
        data: data set, ``kind:where``; or a training set and a test set that are already loaded.
        run: the run folder; made if missing.
        settings: a :class:`Settings`, a preset's name, or ``None`` for the preset made for the network.
        seed: everything random is derived from it.
        until: stop after this stage (one of ``STAGES``) and write no file.
        restart: do this stage and all later ones again.
        output: where the `.pare` file goes; ``RUN/<network>.pare`` if not given.
        coding: of the `.pare` file, ``adaptive`` or ``huffman``.
        network_args: arguments for the zoo's builder.
        data_args: arguments for :func:`paring.data.load` (``size``, ``mean``, ``std``, ``limit``), if it is to load.
        hold_out: train without the last so many training images and test on them instead of the test set.
        threads: torch's threads while it runs; the bits of the result depend on it. The present number if not given.
        checkpoint_seconds: at most so long between two checkpoints of a stage in hand; 0 for none.
        checkpoint_steps: also one after every so many steps; 0 for none.
        commands: command lines to put into the record.
        log: takes a line about each step; ``print`` unless given.
        progress: show a progress bar on a terminal.

    Returns:
        what happened; also written to ``RUN/record.json``.

    Raises:
        ArgumentError: if a setting cannot be or a pattern matches nothing; before anything is trained.
        CheckpointError: if the folder holds checkpoints of another network or of other settings.
        TrainingError: if the loss is not a number; the last checkpoint is kept.
        DataError, GraphError, OutputError: as the parts raise them.
        KeyboardInterrupt: after Ctrl-C, when the step was finished and saved.
    """
    name = network if isinstance(network, str) else getattr(network, "__name__", "network")
    settings = default_preset(name) if settings is None else settings
    chosen = preset(settings) if isinstance(settings, str) else settings
    for stage in (until, restart):
        if stage is not None and stage not in STAGES:
            raise ArgumentError("no such stage", found=repr(stage), expected=" or ".join(STAGES))
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    torch.set_flush_denormal(True)  # moments of pruned weights fade into denormals, which are slow
    try:
        sets = open_sets(data, network, hold_out, data_args)
        build = maker(network, sets.train, network_args)
        clock = partial(Clock, checkpoint_seconds, checkpoint_steps)
        job = Job(name, build, chosen, sets, seed, Path(run), coding, clock, log, progress)
        return job.run(until, restart, Path(output) if output else None, list(commands))
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)
