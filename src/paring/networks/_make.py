"""From a name to a network with the weights its maker gives it."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from difflib import get_close_matches
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from paring.errors import ArgumentError, CheckpointError, ParingError
from paring.files import check_archive
from paring.networks._find import is_function

if TYPE_CHECKING:
    from torch import nn


def make(net: str, classes: int | None = None, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a network.

    Args:
        net: as for :func:`find`, but no checkpoint.
        classes: how many; given to whatever takes ``num_classes``. None: what the maker has.
        arguments: further keyword arguments for the maker.

    Raises:
        ArgumentError: if there is no such network or it does not take the arguments.
        CheckpointError: if a ``.pt2`` file is missing or damaged.
        ParingError: if the library is not installed.
    """
    given = dict(arguments or {})
    if net.endswith(".pt2"):
        if given:
            raise ArgumentError("an exported program takes no arguments", where=net, found=", ".join(given))
        return _exported(Path(net).expanduser())
    if ":" not in net:
        return _from_zoo(net, classes, given)
    call, place = _called(net)
    if is_function(net):
        return _own(place, net, classes, {**call, **given})
    library, _, name = place.partition(":")
    return _of_library(library, name, classes, {**call, **given})


def _from_zoo(name: str, classes: int | None, given: dict[str, Any]) -> nn.Module:
    from paring import zoo

    if classes is None or "num_classes" in given:
        return zoo.create(name, **given)
    try:
        return zoo.create(name, num_classes=classes, **given)
    except ArgumentError as error:  # a network that knows only its own number of classes
        if "num_classes" not in error.what:
            raise
        return zoo.create(name, **given)


def _of_library(library: str, name: str, classes: int | None, given: dict[str, Any]) -> nn.Module:
    """``timm.create_model`` or ``torchvision.models.get_model``."""
    module, builder = {"timm": ("timm", "create_model"), "torchvision": ("torchvision.models", "get_model")}[library]
    try:
        found = import_module(module)
    except Exception as error:  # a build for another version of torch raises RuntimeError
        missing = isinstance(error, ModuleNotFoundError) and error.name == library
        what = f"{library} is not installed" if missing else f"{library} cannot be imported"
        words = None if missing else error
        cure = f"Install it with: pip install {library}"
        raise ParingError(what, where=f"{library}:{name}", found=words, fix=cure) from None
    if classes is not None:
        given.setdefault("num_classes", classes)
    try:
        return getattr(found, builder)(name, **given).eval()
    except Exception as error:
        known = found.list_models()
        near = get_close_matches(name, known, 3) if name not in known else []
        where, expected = f"{library}:{name}", " or ".join(near) or None
        what = f"{library} cannot make this network"
        raise ArgumentError(what, where=where, found=error, expected=expected) from error


def _exported(path: Path) -> nn.Module:
    """A program of ``torch.export``, to be captured or run; its weights are trainable, its mode is what it was."""
    import torch

    if not path.is_file():
        raise CheckpointError("exported program does not exist", where=path)
    try:
        check_archive(path)
        module = torch.export.load(path).module()
    except Exception as error:  # a damaged archive raises anything
        found = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError("not a program of torch.export", where=path, found=found) from None

    def same(mode: bool = True) -> nn.Module:  # it was traced in one mode, and torch's own train() raises
        return module

    module.train = same  # type: ignore[method-assign,assignment]
    module.eval = same  # type: ignore[method-assign,assignment]
    return module


def _own(place: str, net: str, classes: int | None, given: dict[str, Any]) -> nn.Module:
    """Call the user's function; it gets the number of classes if it takes ``num_classes``."""
    from torch import nn

    from paring.layers import bare

    path, _, name = place.rpartition(":")
    folder = str(Path(path).expanduser().resolve().parent) if path.endswith(".py") else str(Path.cwd())
    try:
        with _guest(path, folder):
            function = _function(path, name, net)
            taken = inspect.signature(function).parameters
            wanted = {"num_classes": classes} if classes is not None and "num_classes" in taken else {}
            network = function(**{**wanted, **given})
    except ParingError:
        raise
    except _EndedError as error:
        raise ArgumentError("your code ended the program", where=net, found=error, fix=_ENDED_FIX) from None
    except Exception as error:
        raise ArgumentError(f"your code raised {type(error).__name__}", where=net, found=error) from error
    if not isinstance(network, nn.Module):
        found = type(network).__name__
        raise ArgumentError("function did not return a network", where=net, found=found, expected="nn.Module")
    return bare(network)


class _EndedError(Exception):
    """The user's code called ``sys.exit``."""


#: What is said then.
_ENDED_FIX = "Keep what a script does behind: if __name__ == '__main__'"


@contextmanager
def _guest(program: str, folder: str) -> Iterator[None]:
    """Around the user's code: it has an argument list of its own and its folder first on the path, what it prints goes
    to standard error, it cannot end the program, and torch's default type is as before.

    Its folder stays on the path, at the end: the network may import its neighbors when it runs.
    """
    import torch

    arguments, printed, dtype = sys.argv, StringIO(), torch.get_default_dtype()
    sys.argv = [program]
    sys.path.insert(0, folder)
    ended = False
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield
    except SystemExit as error:
        ended = True
        said = printed.getvalue().strip().splitlines()
        raise _EndedError(f"sys.exit({error.code!r}){f', {said[-1]}' if said else ''}") from None
    finally:
        sys.argv = arguments
        torch.set_default_dtype(dtype)
        with suppress(ValueError):
            sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
        if not ended:
            sys.stderr.write(printed.getvalue())


def _called(net: str) -> tuple[dict[str, Any], str]:
    """The arguments of ``place:function(key=value)``, plain values, and what is before them."""
    place, bracket, inside = net.partition("(")
    if not bracket:
        return {}, net
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("arguments need names")
        return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}, place
    except (SyntaxError, ValueError) as error:
        raise ArgumentError("invalid arguments", where=net, found=error, expected="function(key=value, ...)") from None


def _function(path: str, name: str, net: str) -> Callable[..., Any]:
    module = _file(Path(path).expanduser(), net) if path.endswith(".py") else _module(path, net)
    function = getattr(module, name, None)
    if not callable(function):
        near = get_close_matches(name, [n for n in vars(module) if callable(getattr(module, n))], 3)
        what = "file has no such function" if path.endswith(".py") else "module has no such function"
        raise ArgumentError(what, where=net, expected=" or ".join(near) or None)
    return function


def _file(file: Path, net: str) -> ModuleType:
    if not file.is_file():
        raise ArgumentError("file does not exist", where=net, expected="path/to/file.py:function")
    spec = importlib.util.spec_from_file_location(f"_paring_user_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look a module up by name
    spec.loader.exec_module(module)
    return module


def _module(path: str, net: str) -> ModuleType:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise
        raise ArgumentError(
            "no such module",
            where=net,
            found=path,
            expected="a zoo name, timm:NAME, torchvision:NAME, path/to/file.py:function or package.module:function",
        ) from None
