"""Counting by hooks on torch's own layers, apart from Paring's cost model, and the checks every network must pass."""

from __future__ import annotations

import torch
from torch import nn

from paring import zoo

# networks this small lose more to waking a second thread than it does for them
torch.set_num_threads(1)


def on_meta(name, **kwargs):
    """A network without memory for its weights."""
    with torch.device("meta"):
        return zoo.create(name, **kwargs)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def layer_macs(model, shape):
    """Multiply-accumulates of every convolution and fully connected layer that runs, by path, for one image."""
    macs, hooks = {}, []
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):

            def hook(module, _, y, path=path):
                macs[path] = macs.get(path, 0) + y[0].numel() * module.weight[0].numel()

            hooks.append(module.register_forward_hook(hook))
        elif isinstance(module, nn.ConvTranspose2d):

            def hook(module, x, _, path=path):
                macs[path] = macs.get(path, 0) + x[0][0].numel() * module.weight[0].numel()

            hooks.append(module.register_forward_hook(hook))
        elif isinstance(module, nn.Linear):

            def hook(module, _, y, path=path):
                macs[path] = macs.get(path, 0) + module.weight.numel()

            hooks.append(module.register_forward_hook(hook))
    device = next(model.parameters()).device
    model.eval()(torch.empty(1, *shape, device=device))
    for hook in hooks:
        hook.remove()
    return macs


def macs(model, shape):
    return sum(layer_macs(model, shape).values())


def stage(model, macs, *prefixes):
    """(parameters, M MACs to two digits) of everything whose path starts with one of the prefixes."""

    def inside(path):
        return any(path == prefix or path.startswith(prefix + ".") for prefix in prefixes)

    count = sum(p.numel() for path, p in model.named_parameters() if inside(path))
    return count, round(sum(value for path, value in macs.items() if inside(path)) / 1e6, 2)


def quick(name, seed=0, **kwargs):
    """A network with weights at He's scale taken from one small random block, since drawing 140 M takes seconds."""
    model = on_meta(name, **kwargs).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    block = torch.randn(99_991, generator=generator)  # a prime length, so that rows differ
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_parameters()
                module.momentum = 1.0  # one batch sets the running statistics
            elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                flat = module.weight.view(-1)
                whole = len(flat) // len(block) * len(block)
                flat[:whole].view(-1, len(block)).copy_(block)
                flat[whole:] = block[: len(flat) - whole]
                module.weight.mul_((2 / module.weight[0].numel()) ** 0.5)
                if module.bias is not None:
                    module.bias.copy_(block[: len(module.bias)] * 0.1)
    return model


def check_trains_and_keeps_images_apart(model, shape, seed=0):
    """Every parameter gets a gradient; in eval mode an image's answer does not depend on its batch. Returns outputs."""
    torch.manual_seed(seed)
    x = torch.randn(2, *shape)
    outputs = model.train()(x)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(head.square().mean() for head in heads).backward()
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{path} has no gradient"
        assert torch.isfinite(parameter.grad).all(), path
        if parameter.ndim > 1:
            assert parameter.grad.abs().sum() > 0, f"{path} has a gradient of zero"
    model.zero_grad(set_to_none=True)
    for module in model.modules():  # two images on a 1x1 map may leave variances near zero, which blow up rounding
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_var.clamp_min_(float(module.running_var.mean()))
    with torch.no_grad():
        together = model.eval()(x)
        alone = torch.cat([model(x[:1]), model(x[1:])])
        other = model(torch.stack([x[0], -3 * x[1]]))
    assert isinstance(together, torch.Tensor)
    assert together.std() > 0
    scale = float(together.abs().max())
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4 * scale)
    torch.testing.assert_close(together[0], other[0], rtol=1e-4, atol=1e-4 * scale)
    assert not torch.allclose(together[1], other[1])
    return outputs


def check_card(name):
    """Parameters to the unit and MACs to the card's digits, at the card's resolution."""
    card, model = zoo.card(name), on_meta(name)
    assert parameters(model) == card.parameters
    assert round(macs(model, card.input_shape) / 1e6, 2) == round(card.macs / 1e6, 2)
