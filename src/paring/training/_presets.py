"""The papers' training recipes as plain data, each with where its numbers come from.

``sure`` says how: ``source`` if they were read in the paper or its authors' code, ``recalled`` if some are only
common knowledge about it. What the papers leave to the eye ("when the error stalls") is fixed here and said in
``note``. Augmentation is named where Paring has the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from paring.errors import ArgumentError
from paring.training._settings import Settings


@dataclass(frozen=True)
class Preset:
    """A named recipe.

    Attributes:
        settings: its numbers.
        source: paper, section or file.
        sure: ``source`` or ``recalled``.
        note: where it departs, and what the settings do not hold.
    """

    settings: Settings
    source: str
    sure: str = "source"
    note: str = ""


_INCEPTION = Settings(
    epochs=100,
    batch=1600,
    optimizer="rmsprop",
    lr=0.045,
    eps=1.0,
    weight_decay=4e-5,
    schedule="exponential",
    gamma=0.94,
    every=2,
    smoothing=0.1,
    ema=0.9999,
    clip=2.0,
    augment="imagenet",
)
_RESNET = Settings(
    epochs=90, batch=256, lr=0.1, weight_decay=1e-4, schedule="step", milestones=(1 / 3, 2 / 3), augment="imagenet"
)
#: A random crop of 7/8 of the side (224 of 256) and a flip, as AlexNet's replications do.
_CROP = "crop:0.875,flip"
_CIFAR = Settings(
    epochs=165,
    steps=64_000,
    batch=128,
    lr=0.1,
    weight_decay=1e-4,
    schedule="step",
    milestones=(32_000, 48_000),
    augment="cifar",
)
_MEMORY_STEPS = "The paper divides the rate when the error stalls; the steps are fixed here."

PRESETS: dict[str, Preset] = {
    "lenet-caffe": Preset(
        Settings(epochs=11, steps=10_000, batch=64, lr=0.01, weight_decay=5e-4, schedule="inv"),
        "Caffe, examples/mnist/lenet_solver.prototxt",
        note="The batch of 64 is recalled; biases learn at the rate of weights, in Caffe at twice that.",
    ),
    "lenet-mnist": Preset(
        Settings(epochs=12, batch=128, optimizer="adam", lr=2e-3, augment="light"),
        "Paring's own: a LeNet-5 in minutes on two cores",
    ),
    "alexnet": Preset(
        Settings(
            augment=_CROP,
            epochs=90,
            batch=256,
            lr=0.01,
            weight_decay=5e-4,
            steps=450_000,
            schedule="step",
            milestones=(100_000, 200_000, 300_000, 400_000),
        ),
        "Krizhevsky, Sutskever, Hinton 2012, in Caffe's replication (models/bvlc_alexnet)",
        "recalled",
        "The rate and its steps are Caffe's, which leaves the color noise out; the batch is recalled.",
    ),
    "vgg": Preset(
        Settings(
            augment=_CROP,
            epochs=74,
            batch=256,
            lr=0.01,
            weight_decay=5e-4,
            schedule="step",
            milestones=(0.4, 0.7, 0.9),
        ),
        "Simonyan, Zisserman 2015, arXiv 1409.1556, section 3.1",
        "recalled",
        _MEMORY_STEPS + " The paper starts deeper networks from a trained shallow one.",
    ),
    "googlenet": Preset(
        Settings(
            augment="imagenet",
            epochs=60,
            batch=32,
            steps=2_400_000,
            lr=0.01,
            weight_decay=2e-4,
            schedule="step",
            milestones=tuple(320_000 * k for k in range(1, 8)),
            gamma=0.96,
        ),
        "Szegedy et al. 2015 as Caffe trains it (models/bvlc_googlenet, the long solver)",
        "recalled",
        "The rate, its steps and the decay are Caffe's; batch and length are recalled.",
    ),
    "inception-v3": Preset(
        _INCEPTION,
        "Szegedy et al. 2016, arXiv 1512.00567, section 8",
        "recalled",
        "32 images on each of 50 machines; torch's RMSProp adds eps outside of the root.",
    ),
    "xception": Preset(
        Settings(
            augment="imagenet",
            epochs=100,
            batch=60 * 32,
            lr=0.045,
            weight_decay=1e-5,
            schedule="exponential",
            gamma=0.94,
            every=2,
            ema=0.9999,
        ),
        "Chollet 2017, arXiv 1610.02357, section 4.3",
        note="Batch, length and the average's decay are not in the source.",
    ),
    "resnet": Preset(
        _RESNET,
        "He et al. 2016, arXiv 1512.03385, section 3.4, in the 90 epochs of facebook/fb.resnet.torch",
        "recalled",
        _MEMORY_STEPS,
    ),
    "resnet-cifar10": Preset(
        _CIFAR,
        "He et al. 2016, arXiv 1512.03385, section 4.2: 64k iterations, a tenth at 32k and at 48k",
        note="The paper subtracts each pixel's mean, here it is each channel's; it stops at the 45k/5k split's choice.",
    ),
    "resnet110-cifar10": Preset(
        _CIFAR.changed(warmup=400),
        "He et al. 2016, section 4.2, for 110 layers",
        "recalled",
        "The paper warms up at 0.01 until the training error is below 80 % (about 400 steps); here linearly.",
    ),
    "resnext": Preset(
        _RESNET.changed(milestones=(0.33, 0.66, 0.9)), "Xie et al. 2017, arXiv 1611.05431", "recalled", _MEMORY_STEPS
    ),
    "squeezenet": Preset(
        Settings(
            augment=_CROP,
            epochs=68,
            steps=170_000,
            batch=512,
            lr=0.04,
            weight_decay=2e-4,
            schedule="linear",
            accumulate=16,
        ),
        "Iandola et al. 2016, the authors' solver (forresti/SqueezeNet)",
    ),
    "mobilenet-v1": Preset(
        _INCEPTION.changed(smoothing=0.0, decay_biases=False),
        "Howard et al. 2017, arXiv 1704.04861, section 3.1",
        "recalled",
        "As Inception v3 with less regularization; depthwise filters are decayed as all others are.",
    ),
    "mobilenet-v2": Preset(
        Settings(
            augment="imagenet",
            epochs=420,
            steps=700_000,
            batch=768,
            optimizer="rmsprop",
            lr=0.045 * 8,
            eps=1.0,
            weight_decay=4e-5,
            schedule="exponential",
            gamma=0.98,
            every=2.5,
            smoothing=0.1,
            ema=0.9999,
        ),
        "Sandler et al. 2018 in TensorFlow slim (research/slim/nets/mobilenet): 96 images and rate 0.045 a GPU, 8 GPUs",
        note="Weight decay and momentum are recalled.",
    ),
    "shufflenet": Preset(
        Settings(
            augment="imagenet", epochs=240, steps=300_000, batch=1024, lr=0.5, weight_decay=4e-5, schedule="linear"
        ),
        "Zhang et al. 2018, arXiv 1707.01083, section 4; Ma et al. 2018 for v2",
        note="The paper's changes of scale are milder than the crops named here.",
    ),
    "xnor-net-resnet18": Preset(
        Settings(
            augment="imagenet",
            epochs=58,
            batch=256,
            lr=0.1,
            schedule="step",
            milestones=(30 / 58, 40 / 58),
            gamma=0.01,
        ),
        "Rastegari et al. 2016, arXiv 1603.05279, section 4.1",
        note="The paper names no optimizer for it; momentum 0.9 is ours.",
    ),
    "xnor-net-alexnet": Preset(
        Settings(
            augment=_CROP,
            epochs=55,
            batch=800,
            optimizer="adam",
            lr=1e-3,
            weight_decay=0.0,
            schedule="step",
            milestones=(18 / 55, 29 / 55, 43 / 55, 52 / 55),
            gamma=(0.5, 0.2, 0.5, 0.2),
        ),
        "The authors' code, allenai/XNOR-Net",
        note="The code decays weights by 5e-4 in the first 29 epochs only; a decay cannot be scheduled here.",
    ),
    "xnor-net-googlenet": Preset(
        Settings(augment="imagenet", epochs=80, batch=128, lr=0.1, schedule="polynomial", power=4),
        "Rastegari et al. 2016, arXiv 1603.05279, section 4.1",
        note="The paper names no optimizer for it; momentum 0.9 is ours.",
    ),
}


def preset(name: str) -> Preset:
    """The recipe of that name.

    Raises:
        ArgumentError: on an unknown name, with the nearest ones.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, 3, cutoff=0.4) or list(PRESETS)
        raise ArgumentError("no such preset", found=repr(name), expected=" or ".join(near))
    return PRESETS[name]
