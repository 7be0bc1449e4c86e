import pytest

from paring.errors import ArgumentError
from paring.training import PRESETS, Settings, preset
from paring.training.optim import SCHEDULES, lr_factor


def test_resnet_s_own_milestones():
    found = [lr_factor("step", t, 64_000, milestones=(32_000, 48_000)) for t in (0, 31_999, 32_000, 47_999, 48_000)]
    assert found == [1, 1, 0.1, 0.1, 0.01]
    assert found == [lr_factor("step", t, 64_000) for t in (0, 31_999, 32_000, 47_999, 48_000)]


def test_factors_of_their_own_at_each_milestone():
    found = [lr_factor("step", t, 10, milestones=(2, 0.5, 8), gamma=(0.5, 0.2, 0.1)) for t in (1, 2, 5, 8)]
    assert found == pytest.approx([1, 0.5, 0.1, 0.01])


def test_formulas():
    assert [lr_factor("polynomial", t, 10, power=4) for t in (0, 5, 10)] == pytest.approx([1, 0.5**4, 0])
    assert [lr_factor("linear", t, 8) for t in (0, 2, 8)] == [1, 0.75, 0]
    assert [lr_factor("exponential", t, 100, every=3) for t in (0, 2, 3, 8)] == pytest.approx([1, 1, 0.94, 0.94**2])
    assert lr_factor("inv", 50, 1, gamma=0.02, power=2) == pytest.approx(1 / 4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_goes_with_any(name):
    plain = [lr_factor(name, t, 20, every=4) for t in range(6)]
    risen = [lr_factor(name, t, 20, every=4, warmup=4) for t in range(6)]
    assert risen == pytest.approx([f * min(1, (t + 1) / 5) for t, f in enumerate(plain)])


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "exponential"},
        {"name": "step", "milestones": (0.5, 0.2)},
        {"name": "step", "milestones": (0.0,)},
        {"name": "step", "gamma": (0.1,)},
        {"name": "inv", "gamma": (0.1, 0.2)},
        {"name": "polynomail"},
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(ArgumentError):
        lr_factor(step=1, total=10, **arguments)


def test_settings_turn_epochs_of_a_stair_into_steps():
    factor = Settings(schedule="exponential", every=2.5, gamma=0.5).factor(4)
    assert [factor(t, 100) for t in (9, 10, 20)] == [1, 0.5, 0.25]


def test_settings_say_which_cannot_be():
    for change in ({"epochs": 0}, {"batch": 0}, {"mixup": -1.0}, {"schedule": "cosin"}):
        with pytest.raises(ArgumentError):
            Settings().changed(**change).check()
    with pytest.raises(ArgumentError, match="epochs"):
        Settings().changed(epoch=3)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_trained_with(name):
    from torch import nn

    from paring.training.augment import augmentation
    from paring.training.optim import cross_entropy, optimizer

    found = preset(name)
    found.settings.check()
    optimizer(nn.Linear(2, 2), found.settings.optimizer, lr=found.settings.lr, momentum=found.settings.momentum)
    augmentation(found.settings.augment)
    cross_entropy(found.settings.smoothing)
    assert found.source
    assert found.sure in ("source", "recalled")
    assert found.settings.batch % found.settings.accumulate == 0


def test_presets_are_the_papers_numbers():
    """Read off papers.md, sections 8.1, 11, 14 and 17.4."""
    cifar = preset("resnet-cifar10").settings
    assert (cifar.batch, cifar.lr, cifar.momentum, cifar.weight_decay, cifar.steps) == (128, 0.1, 0.9, 1e-4, 64_000)
    assert [cifar.factor(390)(t, cifar.steps) for t in (31_999, 32_000, 48_000)] == [1, 0.1, 0.01]
    squeeze = preset("squeezenet").settings
    assert (squeeze.batch, squeeze.batch // squeeze.accumulate, squeeze.lr) == (512, 32, 0.04)
    assert squeeze.factor(1)(85_000, squeeze.steps) == 0.5
    xnor = preset("xnor-net-alexnet").settings
    per_epoch = 1000
    by_epoch = {1: 1e-3, 18: 1e-3, 19: 5e-4, 29: 5e-4, 30: 1e-4, 43: 1e-4, 44: 5e-5, 52: 5e-5, 53: 1e-5}
    for epoch, expected in by_epoch.items():
        step = epoch * per_epoch - 500
        assert xnor.lr * xnor.factor(per_epoch)(step, 55 * per_epoch) == pytest.approx(expected)
    with pytest.raises(ArgumentError, match="resnet-cifar10"):
        preset("resnet-cifar")


@pytest.mark.parametrize(
    "setting", [{"gamma": float("nan")}, {"milestones": (0.5, float("nan"))}, {"lr": float("inf")}]
)
def test_settings_are_finite_numbers(setting):
    with pytest.raises(
        ArgumentError, match=f"{next(iter(setting))}: invalid setting; found (nan|inf); expected a finite"
    ):
        Settings().changed(**setting).check()
