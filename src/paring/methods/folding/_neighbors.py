"""Which layer's answer goes straight, and only, into which other layer: read off the exported program."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paring.errors import GraphError

#: aten calls of a layer with weights, and of a batch norm.
_LINEAR = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_NORMS = ("batch_norm", "_native_batch_norm_legit_no_training")


@dataclass
class Use:
    """One layer as the network uses it.

    Attributes:
        path: of the layer.
        norm: whether it is a batch norm.
        calls: how often its weights or statistics are used.
        before: path of the layer whose answer it takes directly, empty if something else comes in between.
        after: path of the only layer its answer goes to directly, empty if there is none or more users.
        readers: how many calls use its answer.
    """

    path: str
    norm: bool
    calls: int = 1
    before: str = ""
    after: str = ""
    readers: int = 1


def uses(module: nn.Module, example: Tensor) -> dict[str, Use]:
    """Every layer that the network, in eval mode, uses on an example, by path in the order of use.

    Raises:
        GraphError: if the network cannot be exported.
    """
    was = module.training
    module.eval()
    try:
        program = torch.export.export(module, (example,))
    except Exception as error:  # torch raises a dozen kinds
        first = str(error).strip().split("\n")[0]
        raise GraphError("the network cannot be traced", found=first, fix="Fold layer by layer instead") from error
    finally:
        module.train(was)
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    paths: dict[torch.fx.Node, str] = {}
    found: dict[str, Use] = {}
    for node in program.graph.nodes:
        name = getattr(getattr(node.target, "_schema", None), "name", "").removeprefix("aten::")
        if node.op != "call_function" or name not in (*_LINEAR, *_NORMS):
            continue
        norm = name in _NORMS
        key = node.args[3] if norm else node.args[1]  # running mean; weight
        if not isinstance(key, torch.fx.Node) or key.name not in names:
            continue  # a weight that is computed, such as a trainable form
        path = names[key.name].rpartition(".")[0]
        paths[node] = path
        if path in found:
            found[path].calls += 1
            continue
        before = node.args[0] if isinstance(node.args[0], torch.fx.Node) else None
        found[path] = Use(path, norm, len(key.users), paths.get(before, "") if before else "", "", len(node.users))
    for node, path in paths.items():
        users = list(node.users)
        if len(users) == 1 and users[0] in paths and users[0].args[0] is node:
            found[path].after = paths[users[0]]
    return found
