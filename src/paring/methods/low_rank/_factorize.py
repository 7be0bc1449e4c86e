"""Low rank: a layer becomes a chain of smaller layers whose product is close to it.

Five schemes, one structure (an ``nn.Sequential`` in the layer's place), for each group of a grouped convolution:

    svd      d x d to r maps, 1 x 1 to T                  Denton et al. 2014, arXiv 1404.0736; for 1 x 1 and FC the SVD
             with images: the r best for the answers      Zhang, Zou, He, Sun 2016, arXiv 1505.06798, section 3.1
    spatial  d x 1 to K maps, 1 x d to T                  Jaderberg, Vedaldi, Zisserman 2014, arXiv 1405.3866, scheme 2
    tucker   1 x 1 to R3, d x d to R4, 1 x 1 to T         Kim et al. 2016, arXiv 1511.06530
    cp       1 x 1 to R, d x 1 and 1 x d depthwise, 1 x 1 Lebedev et al. 2015, arXiv 1412.6553

MACs per output position, stride 1, from S to T channels: ``d^2 S r + r T``, ``d S K + d K T``, ``S R3 + d^2 R3 R4 + R4
T`` and ``S R + 2 d R + R T`` against ``d^2 S T``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from paring.errors import ArgumentError, CheckpointError
from paring.methods._amounts import Amount, Targets, read_share, show_share
from paring.methods._registry import Trial, method, must_be_module
from paring.methods._report import Report, Row
from paring.methods.low_rank._chain import (
    SCHEMES,
    Layer,
    blank_chain,
    check_ranks,
    fill,
    macs,
    obstacle,
    own_stage,
    parameters,
    sizes,
    stages,
)
from paring.methods.low_rank._factors import cp_factors, response_factors, spatial_factors, svd_factors, tucker_factors
from paring.methods.low_rank._ranks import by_budget, by_energy, by_error, by_vbmf, check_amount, cost, cp_rank, spectra
from paring.methods.low_rank._responses import Responses, responses
from paring.parametrize import replace_layers, replaceable
from paring.parametrize._select import WEIGHTED


@dataclass(frozen=True)
class Factored(Row):
    """What became of one layer; before and after are its weights, biases left out.

    Attributes:
        scheme: ``svd``, ``spatial``, ``tucker`` or ``cp``.
        ranks: of each group; empty if the layer stayed as it was.
        macs: per output position, before and after.
        error: ``|W - W'| / |W|``; with images, of the answers around their mean.
    """

    scheme: str = ""
    ranks: tuple[int, ...] = ()
    macs: tuple[int, int] = (0, 0)
    error: float = 0.0


def _alone(box: nn.Module, layer: str, energy: float) -> None:
    """For the sensitivity analysis: errors say what is wrong with the one layer there is."""
    try:
        factorize(box, {layer: energy}, by="energy")
    except ArgumentError as error:
        raise ArgumentError(str(error.found).removeprefix(f"{layer}: ")) from None


AMOUNT = Amount("targets", "amount", "what by= speaks of", lambda value: value, read_share, show_share)


@method(
    "layers become chains of smaller ones",
    kind="low rank",
    form="a chain of layers",
    page="low_rank.md",
    amounts=(AMOUNT,),
    trial=Trial((0.99, 0.95, 0.9, 0.8, 0.6), "energy kept", layer=_alone, usual=True),
    structure=True,
)
def factorize(
    module: nn.Module,
    targets: Targets = None,
    *,
    scheme: Literal["auto", "svd", "spatial", "tucker", "cp"] = "auto",
    by: Literal["energy", "error", "macs", "parameters", "rank", "vbmf"] = "energy",
    images: Tensor | None = None,
    seed: int = 0,
) -> Report[Factored]:
    """Replace layers by chains of smaller ones, in place.

    Args:
        module: the network. Bake trainable forms first.
        targets: the amount that ``by`` speaks of, for all layers or by patterns (:func:`paring.parametrize.select`).
        scheme: ``svd``, ``spatial``, ``tucker``, ``cp``; ``auto`` takes svd for fully connected and 1x1 layers
            and those with one input a group, spatial for those with one output a group (depthwise), tucker otherwise.
        by: ``energy`` (share of the squared singular values kept), ``error`` (largest relative error), ``macs`` or
            ``parameters`` (share of the layer's that the chain may have), ``rank`` (a number, or ``(R3, R4)``), or
            ``vbmf`` (ranks by variational Bayes; the amount is not read, ``None`` will do).
        images: prepared calibration images ``(N, C, H, W)``; svd then keeps what matters for the layer's answers to
            them. One pass, in eval mode; the other schemes do not take them.
        seed: of CP's starts.

    Returns:
        weights of each layer before and after, by path. A layer stays as it was, with the reason, where the
        scheme does not apply or the chain would be no smaller; ``by="rank"`` is obeyed nevertheless.

    Raises:
        ArgumentError: if an argument cannot be, a pattern matches nothing, or no layer at all could be factorized.
    """
    if scheme != "auto" and scheme not in SCHEMES:
        raise ArgumentError("unknown scheme", found=repr(scheme), expected=" or ".join(("auto", *SCHEMES)))
    if images is not None and scheme != "svd":
        raise ArgumentError("only svd is fitted to images", found=f"scheme {scheme!r}")
    must_be_module(module, "factorized")
    amount = replace(AMOUNT, usual=True) if by == "vbmf" else AMOUNT
    chosen = replaceable(module, amount.targets(targets), "factorized")
    for path, (_, much) in chosen.items():
        check_amount(much, by, path)
    seen = responses(module, {path: layer for path, (layer, _) in chosen.items()}, images) if images is not None else {}
    outcomes, chains = {}, {}
    for path, (layer, much) in chosen.items():
        outcomes[path], chain = _factorized(path, layer, much, scheme, by, seen.get(path), seed)
        if chain is not None:
            chains[path] = chain
    if not chains:
        words = "; ".join(f"{path}: {outcome.reason}" for path, outcome in list(outcomes.items())[:3])
        raise ArgumentError("no layer could be factorized", found=words)
    replace_layers(module, chains)
    summary = f"{len(chains)} of {len(outcomes)} layers became chains"
    return Report(method="factorize", unit="weights", rows=tuple(outcomes.values()), summary=summary, network=module)


def describe_chains(outcomes: Mapping[str, Factored]) -> dict[str, dict[str, Any]]:
    """What :func:`rebuild_chains` needs, JSON values."""
    return {
        path: {"scheme": outcome.scheme, "ranks": list(outcome.ranks)}
        for path, outcome in outcomes.items()
        if outcome.ranks
    }


def rebuild_chains(module: nn.Module, description: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a plain network the chains of :func:`describe_chains`, with fresh weights; load the state dict next.

    Raises:
        CheckpointError: if a layer is not there or cannot take its chain.
    """
    chains = {}
    for path, words in description.items():
        try:
            layer = module.get_submodule(path)
            if not isinstance(layer, WEIGHTED):
                raise ArgumentError("no layer to factorize", where=path, found=type(layer).__name__)
            scheme = str(words["scheme"])
            ranks = check_ranks(scheme, sizes(layer), list(words["ranks"]), path)
            chains[path] = blank_chain(layer, scheme, ranks)
        except (ArgumentError, AttributeError, KeyError, ValueError) as error:
            raise CheckpointError(
                "checkpoint has a chain this network cannot take", where=path, found=f"{dict(words)}, {error}"
            ) from None
    replace_layers(module, chains)


def _factorized(
    path: str, layer: Layer, amount: Any, scheme: str, by: str, seen: Responses | None, seed: int
) -> tuple[Factored, nn.Sequential | None]:
    s = sizes(layer)
    if scheme == "auto":
        matrix = prod(s.kernel) == 1 or (s.into == 1 and s.out > 1)
        scheme = "svd" if matrix else "spatial" if s.out == 1 and len(s.kernel) == 2 else "tucker"
    own = parameters([own_stage(s)]), macs([own_stage(s)], s.stride)

    def stays(reason: str) -> tuple[Factored, None]:
        return Factored(path, own[0], own[0], "", reason, scheme, (), (own[1], own[1]), 0.0), None

    if reason := obstacle(scheme, layer):
        return stays(reason)
    weight = layer.weight.detach().cpu().double().numpy()
    groups = [part.reshape(s.out, s.into, *s.kernel) for part in np.split(weight, s.groups)]
    ranks = _ranks(path, scheme, groups, s, amount, by, seen, seed)
    if ranks is None:
        return stays(f"no rank costs {amount:g} of its {by}")
    made = parameters(stages(scheme, s, ranks)), cost(scheme, s, ranks, "macs")
    if by != "rank" and (made[0] >= own[0] or made[1] >= own[1]):
        return stays(f"a chain of ranks {ranks} would be no smaller")
    weights, bias, error = _weights(layer, scheme, groups, ranks, seen, seed)
    chain = blank_chain(layer, scheme, ranks)
    fill(chain, weights, bias)
    done = f"{scheme} {ranks}, error {error:.3f}, {own[1]:,} -> {made[1]:,} MACs a place"
    return Factored(path, own[0], made[0], done, "", scheme, ranks, (own[1], made[1]), error), chain


def _ranks(
    path: str,
    scheme: str,
    groups: Sequence[np.ndarray],
    s: Any,
    amount: Any,
    by: str,
    seen: Responses | None,
    seed: int,
) -> tuple[int, ...] | None:
    if by == "rank":
        given = tuple(amount) if isinstance(amount, list | tuple) else (amount,)
        return check_ranks(scheme, s, given, path)
    if scheme == "cp":
        if by == "vbmf":
            raise ArgumentError("variational Bayes finds ranks of matrices, not of CP", where=path, fix="Choose tucker")
        return cp_rank(groups, s, amount, by, seed)
    if by == "vbmf":
        return by_vbmf(scheme, groups)
    energies = spectra(scheme, groups) if seen is None else [seen.energies(s.groups)[: min(s.out, groups[0][0].size)]]
    if by == "energy":
        return by_energy(energies, amount)
    if by == "error":
        return by_error(scheme, groups, energies, amount)
    return by_budget(scheme, s, energies, amount, by)


def _weights(
    layer: Layer, scheme: str, groups: Sequence[np.ndarray], ranks: Sequence[int], seen: Responses | None, seed: int
) -> tuple[list[np.ndarray], np.ndarray | None, float]:
    """Every stage's weight, the last one's bias, and the relative error."""
    parts, lost = [], 0.0
    for number, weight in enumerate(groups):
        matrix = weight.reshape(len(weight), -1)
        if scheme == "svd" and seen is not None:
            factors: tuple[np.ndarray, ...] = response_factors(matrix, seen.of_group(number, len(groups)), ranks[0])
            product = factors[1] @ factors[0]
        elif scheme == "svd":
            factors = svd_factors(matrix, ranks[0])
            product = factors[1] @ factors[0]
        elif scheme == "spatial":
            factors = spatial_factors(weight, ranks[0])
            product = np.einsum("kiy,okx->oiyx", *factors)
        elif scheme == "tucker":
            factors = tucker_factors(weight, (ranks[0], ranks[1]))
            product = np.moveaxis(np.tensordot(np.tensordot(factors[2], factors[1], (1, 0)), factors[0], (1, 0)), -1, 1)
        else:
            factors = cp_factors(weight, ranks[0], seed)
            product = np.einsum("ri,ry,rx,or->oiyx", *factors)
        parts.append(factors)
        lost += float(((weight - product.reshape(weight.shape)) ** 2).sum())
    joined = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    if seen is None:
        whole = sum(float((weight**2).sum()) for weight in groups)
        return joined, None, sqrt(lost / whole) if whole else 0.0
    # U U^T takes the mean answer with it: what it drops of the mean goes into the bias
    bases = [np.linalg.qr(second)[0] for _, second in parts]
    means = np.split(seen.mean, len(groups))
    rest = np.concatenate([mean - q @ (q.T @ mean) for mean, q in zip(means, bases, strict=True)])
    bias = rest if layer.bias is None else rest + layer.bias.detach().cpu().double().numpy()
    energies = seen.energies(len(groups))
    return joined, bias, sqrt(max(float(energies[ranks[0] :].sum() / max(energies.sum(), 1e-300)), 0.0))
