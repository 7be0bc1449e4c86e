"""Every torchvision-layout network of the zoo against torchvision's own definition, on random weights.

torchvision's weights are drawn, loaded by `paring.zoo.load_weights`, and both networks answer the same images in use;
batch norms are given statistics first. Where torchvision comes with auxiliary heads, their training outputs are
compared too. Prints a table and fails if any network is not the same function.

    pip install --no-deps torchvision
    python benchmarks/zoo_torchvision.py [--only resnet50 vgg16]
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import torch

from paring import zoo

_KEPT: list[torch.library.Library] = []

#: Those of torchvision's networks whose names are the zoo's too.
NAMES = [
    "alexnet",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
    *("googlenet", "inception_v3"),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("squeezenet1_0", "squeezenet1_1", "mobilenet_v2"),
    *(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
]


def import_torchvision():
    """torchvision's models. A wheel whose C++ operators do not fit the installed torch imports too, once the operators
    its Python files describe are declared; nothing here calls them. Tried in another process, since a failed import
    leaves half its registrations behind."""
    if subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)  # its declarations go when it goes
    from torchvision import models

    return models


def settle(model: torch.nn.Module, images: torch.Tensor) -> None:
    """Give batch norms the statistics of a batch, so that deep networks answer in a sensible range."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    model.eval()


def compare(models, name: str) -> tuple[int, int, float]:
    """Parameters, tensors loaded, largest difference of any output relative to the largest output."""
    torch.manual_seed(0)
    card = zoo.card(name)
    aux = name in ("googlenet", "inception_v3")
    options = {"aux_logits": True, "transform_input": True, "init_weights": False} if aux else {}
    reference = getattr(models, name)(weights=None, **options)
    ours = zoo.create(name, **({"aux": True, "transform_input": True} if aux else {}))
    images = torch.randn(4, *card.input_shape)
    settle(reference, images)
    report = zoo.load_weights(ours, reference.state_dict(), layout="torchvision")
    ours.eval()
    with torch.inference_mode():
        wanted, found = reference(images[:2]), ours(images[:2])
        worst = float((wanted - found).abs().max() / wanted.abs().max())
        if aux:
            for network in (reference, ours):
                network.train()
                for module in network.modules():
                    if isinstance(module, torch.nn.Dropout):
                        module.p = 0.0
            one, other = reference(images), ours(images)
            heads = [(one[0], other.logits)]
            if name == "googlenet":
                heads += [(one.aux_logits1, other.aux1), (one.aux_logits2, other.aux2)]
            else:
                heads += [(one.AuxLogits if hasattr(one, "AuxLogits") else one[1], other.aux)]
            worst = max([worst, *(float((a - b).abs().max() / a.abs().max()) for a, b in heads)])
    return sum(p.numel() for p in ours.parameters()), len(report.loaded), worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="names of networks; all by default")
    chosen = parser.parse_args().only
    torch.set_num_threads(1)
    models = import_torchvision()
    import torchvision

    print(f"torchvision {torchvision.__version__}, torch {torch.__version__}")
    print(f"{'network':20} {'parameters':>12} {'tensors':>8} {'difference':>11}  function", flush=True)
    different = []
    for name in chosen or NAMES:
        parameters, tensors, worst = compare(models, name)
        same = worst < 1e-5
        print(f"{name:20} {parameters:>12,} {tensors:>8} {worst:>11.1e}  {'same' if same else 'DIFFERENT'}", flush=True)
        if not same:
            different.append(name)
    if different:
        raise SystemExit(f"not the same functions: {', '.join(different)}")


if __name__ == "__main__":
    main()
