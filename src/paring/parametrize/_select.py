"""Which weights a method is meant for: shell patterns on module paths, and the parametrization that holds a form."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from paring.errors import ArgumentError
from paring.layers import bare, check_layers

T = TypeVar("T")

#: Modules whose ``weight`` a pattern without a suffix speaks of.
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Place(NamedTuple):
    """Where a parameter lives.

    Attributes:
        module: the first module that holds it.
        tensor: its name there.
        others: plain name, module and name there of every further module that holds the same parameter.
    """

    module: nn.Module
    tensor: str
    others: tuple[tuple[str, nn.Module, str], ...] = ()


def places(module: nn.Module) -> dict[str, Place]:
    """Every parameter's plain name (``fc1.weight``, parametrized or not) with its place, in the module's order.

    A parameter that two modules share has one place, the first, which knows the others. Names are those inside of
    wrappers (``nn.DataParallel``, ``torch.compile``).
    """
    module = bare(module)
    check_layers(module)
    found: dict[str, Place] = {}
    seen: dict[int, str] = {}
    for path, child in module.named_modules():
        if isinstance(child, parametrize.ParametrizationList) or ".parametrizations." in f".{path}.":
            continue
        held = dict(child.named_parameters(recurse=False))
        if parametrize.is_parametrized(child):
            for name, chain in child.parametrizations.items():  # type: ignore[union-attr,operator]
                held[name] = chain.original if hasattr(chain, "original") else chain.original0  # weight norm has two
        order = [name for name in ("weight", "bias") if name in held] + sorted(set(held) - {"weight", "bias"})
        for name in order:
            plain = f"{path}.{name}" if path else name
            first = seen.setdefault(id(held[name]), plain)
            if first == plain:
                found[plain] = Place(child, name)
            else:
                found[first] = found[first]._replace(others=(*found[first].others, (plain, child, name)))
    return found


def hooked(child: nn.Module) -> list[tuple[Any, str]]:
    """Hooks of torch's old utilities that compute a weight before each forward pass, and the weights' names."""
    hooks = child._forward_pre_hooks.values()
    masks = [(hook, hook._tensor_name) for hook in hooks if isinstance(hook, prune.BasePruningMethod)]
    return [(hook, hook.name) for hook in hooks if isinstance(hook, WeightNorm | SpectralNorm)] + masks


def weights(module: nn.Module) -> dict[str, Place]:
    """The weights of fully connected and convolution layers, biases left out, by plain name (``conv1.weight``)."""
    return {
        name: place
        for name, place in places(module).items()
        if place.tensor == "weight" and isinstance(place.module, WEIGHTED)
    }


def select(module: nn.Module, targets: Mapping[str, T]) -> dict[str, T]:
    """The target of every weight that a pattern matches.

    A pattern is a shell pattern on the layer's path (``fc*``, ``*.conv1``) and means its weight; one that ends in
    ``.weight`` or ``.bias`` is matched against the parameter's full name. Later patterns override earlier ones. A
    parameter that several layers share is matched by the names of all of them.

    Args:
        module: the network.
        targets: pattern to target.

    Returns:
        parameter name to target, in the module's order.

    Raises:
        ArgumentError: if a pattern matches nothing, with the nearest names; or a weight that an old hook of torch's
            computes.
    """
    module = bare(module)
    hidden = [f"{path}.{name}".lstrip(".") for path, child in module.named_modules() for _, name in hooked(child)]
    everything, layers = places(module), weights(module)
    chosen: dict[str, T] = {}
    for pattern, target in targets.items():
        if pattern.endswith((".weight", ".bias")):
            hits = [name for name, place in everything.items() if _hit(pattern, _names(name, place))]
        else:
            paths = {name: [n.rpartition(".")[0] or "weight" for n in _names(name, at)] for name, at in layers.items()}
            hits = [name for name in layers if _hit(pattern, paths[name])]
        by = [name for name in hidden if _hit(pattern, [name, name.rpartition(".")[0]])]
        if by:
            raise ArgumentError(
                "weight is computed by a hook of torch's (weight norm, spectral norm, a pruning mask)",
                where=by[0],
                fix="Fold it into the weight first: paring.parametrize.settle(network)",
            )
        if not hits:
            every = {name: _names(name, place) for name, place in everything.items()}
            known = [other.rpartition(".")[0] or "weight" for name in layers for other in every[name]]
            known += [other for names in every.values() for other in names]
            near = get_close_matches(pattern, known, 3, cutoff=0.4) or known[:3]
            raise ArgumentError("pattern matches no layer", found=repr(pattern), expected=", ".join(near))
        chosen.update(dict.fromkeys(hits, target))
    return {name: chosen[name] for name in everything if name in chosen}


def _names(name: str, place: Place) -> list[str]:
    return [name, *(other for other, _, _ in place.others)]


def _hit(pattern: str, names: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


#: Every trainable form by its kind; a class enters when its module is imported.
TRAINABLE: dict[str, type[FormParametrization]] = {}


class FormParametrization(nn.Module, Generic[T]):
    """A trainable form: a ``torch.nn.utils.parametrize`` parametrization that knows how to export itself.

    ``forward`` makes the weight from what is trained; ``options`` are the small JSON values that, with the tensors of
    the state dict, rebuild it. A subclass with a ``kind`` registers itself, so that checkpoints can rebuild it.
    """

    kind = ""

    def __init_subclass__(cls, **words: object) -> None:
        super().__init_subclass__(**words)
        if kind := cls.__dict__.get("kind"):
            if TRAINABLE.get(kind, cls).__qualname__ != cls.__qualname__:
                raise TypeError(f"two trainable forms are called {kind!r}: {TRAINABLE[kind]} and {cls}")
            TRAINABLE[kind] = cls

    @classmethod
    def blank(cls, shape: tuple[int, ...], *arguments: Any, **options: Any) -> Any:
        """The form for a weight of this shape, its tensors to be loaded from a state dict."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Bring what is derived from loaded buffers up to date; most forms derive nothing."""

    def options(self) -> dict[str, int]:
        """Keyword arguments that :meth:`blank` takes beside the shape."""
        raise NotImplementedError

    def form(self, original: Tensor):
        """The exact form of the weight this makes from ``original``."""
        raise NotImplementedError


def parametrization(place: Place) -> FormParametrization | None:
    """The trainable form at ``place``, if any."""
    if not parametrize.is_parametrized(place.module, place.tensor):
        return None
    chain = place.module.parametrizations[place.tensor]  # type: ignore[index]
    return chain[0] if len(chain) == 1 and isinstance(chain[0], FormParametrization) else None


def value(place: Place) -> Tensor:
    """The parameter's present value, detached."""
    with torch.no_grad():
        return getattr(place.module, place.tensor).detach()


def attach(place: Place, form: FormParametrization) -> None:
    """Give the parameter a trainable form, one for all modules that hold it; a form it had is baked in first."""
    if parametrize.is_parametrized(place.module, place.tensor):
        _bake(place)
    form.train(place.module.training)
    for _, module, tensor in place.others:
        parametrize.register_parametrization(module, tensor, nn.Identity())
    parametrize.register_parametrization(place.module, place.tensor, form)
    for _, module, tensor in place.others:
        module.parametrizations[tensor] = place.module.parametrizations[place.tensor]  # type: ignore[index,operator]


def detach(module: nn.Module) -> None:
    """Bake every trainable form into plain parameters, in place."""
    for place in places(module).values():
        if parametrization(place) is not None:
            _bake(place)


def _bake(place: Place) -> None:
    place.module.parametrizations[place.tensor].eval()  # type: ignore[index,union-attr]  # nothing is drawn at random
    for module in (place.module, *(module for _, module, _ in place.others)):
        own_class(module)
    parametrize.remove_parametrizations(place.module, place.tensor, leave_parametrized=True)
    for _, module, tensor in place.others:  # their original is the same parameter, and the weight by now
        parametrize.remove_parametrizations(module, tensor, leave_parametrized=False)


def own_class(module: nn.Module) -> None:
    """A parametrized module has a class made for it, which ``copy.deepcopy`` lets the copy share; torch would take the
    weight from that class, and from the other module."""
    kind = type(module)
    inner = {name: part for name, part in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(kind.__name__, kind.__bases__, inner)
