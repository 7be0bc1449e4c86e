"""What the tests of capture compare: a module's own answers with those of its graph."""

import numpy as np
import torch
from torch import nn

from paring.capture import capture, rebuild
from paring.runtime import reference


def shaken(module, seed=0):
    """The module with random weights and random batch-norm statistics, so that nothing cancels by accident."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean.normal_(0, 0.2)
                layer.running_var.uniform_(0.5, 2.0)
                if layer.weight is not None:
                    layer.weight.uniform_(0.5, 1.5)
                    layer.bias.normal_(0, 0.2)
    return module


def to_nhwc(tensor):
    """(N, C, H, W), (N, C, L) or (N, F) as the engine takes it."""
    array = tensor.detach().numpy()
    if array.ndim == 3:
        array = array[:, :, None, :]
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if array.ndim == 4 else array


def agree(module, *shapes, fold=True, tolerance=1e-5, seed=0):
    """Capture, and demand the module's answers from the rebuilt module and from the reference interpreter."""
    shaken(module, seed)
    example = shapes[0] if len(shapes) == 1 else list(shapes)
    graph = capture(module, example, fold=fold)
    inputs = [torch.randn(3, *shape) for shape in shapes]
    training = {m: m.training for m in module.modules()}
    with torch.no_grad():
        expected = module.eval()(*inputs)
        again = rebuild(graph)(*inputs)
    for m, flag in training.items():
        m.training = flag
    arrays = dict(zip(graph.inputs, map(to_nhwc, inputs), strict=True))
    answer = reference.run(graph, arrays if len(arrays) > 1 else next(iter(arrays.values())))
    wanted, rebuilt = (list(t) if isinstance(t, tuple | list) else [t] for t in (expected, again))
    referred = [answer[name] for name in graph.outputs] if isinstance(answer, dict) else [answer]
    for want, torch_has, numpy_has in zip(wanted, rebuilt, referred, strict=True):
        scale = max(1.0, float(want.abs().max()))
        assert want.abs().max() > 0, "the test's own answer is all zeros"
        if want.ndim == 3:
            torch_has = torch_has.squeeze(2)
        torch.testing.assert_close(torch_has, want, rtol=0, atol=tolerance * scale)
        np.testing.assert_allclose(numpy_has, to_nhwc(want), rtol=0, atol=tolerance * scale)
    return graph


def ops(graph):
    """Operators in order."""
    return [node.op for node in graph.nodes]


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function, **children):
        super().__init__()
        self.function = function
        for name, child in children.items():
            if isinstance(child, torch.Tensor) and not isinstance(child, nn.Parameter):
                self.register_buffer(name, child)
            else:
                setattr(self, name, child)

    def forward(self, *x):
        return self.function(self, *x)
