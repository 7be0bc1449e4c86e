import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from paring import methods, parametrize, training
from paring.errors import ArgumentError, CheckpointError, TrainingError
from paring.layers import BinaryConv2d, BinaryLinear
from paring.record import Training
from tests.training.problem import batches, bytes_of, dataset, network, settings


class Stop(Exception):
    pass


def train(folder, net=None, stop=None, **arguments):
    """A short run; ``stop`` raises after that step, as a kill would."""
    given = {name: arguments.pop(name) for name in list(arguments) if hasattr(training.Settings, name)}

    def after(step):
        if step == stop:
            raise Stop

    net = net or network()
    arguments = {
        "clock": training.Clock(0, 1),
        "evaluate": training.evaluator(dataset()),
        "progress": False,
    } | arguments
    outcome = training.run(net, batches(), settings(**given), folder=folder, after_step=after, classes=3, **arguments)
    return net, outcome


EVERYTHING = [
    {},
    {"optimizer": "adam", "ema": 0.99, "schedule": "step"},
    {"optimizer": "rmsprop", "mixup": 0.3, "accumulate": 3, "clip": 1.0},
    {"nesterov": True, "weight_decay": 0.01, "decay_biases": False, "precision": "bf16", "channels_last": True},
    {"steps": 15, "schedule": "linear", "warmup": 3, "smoothing": 0.1},
]


@pytest.mark.parametrize("changes", EVERYTHING)
def test_going_on_is_the_same_to_the_bit(tmp_path, changes):
    whole, outcome = train(tmp_path / "whole", **changes)
    assert outcome.steps == changes.get("steps", 18)
    again = tmp_path / "again"
    for stop in (4, 7, 14):
        with pytest.raises(Stop):
            train(again, network(9 if stop > 4 else 0), stop, resume=stop > 4, **changes)
    net, resumed = train(again, network(9), resume=True, **changes)
    assert bytes_of(net) == bytes_of(whole)
    assert not net.training
    assert [entry["score"] for entry in resumed.history] == [entry["score"] for entry in outcome.history]
    assert resumed.score == outcome.score
    finished, idle = train(again, network(9), resume=True, **changes)  # nothing left to do
    assert bytes_of(finished) == bytes_of(whole)
    assert idle.score == outcome.score


def test_it_is_fit_with_the_same_numbers(tmp_path):
    net, _ = train(tmp_path, schedule="cosine", momentum=0.8)
    judge = network()
    tuned = training.optimizer(judge.parameters(), lr=0.05, momentum=0.8)
    training.fit(judge, batches(), tuned, epochs=3, schedule="cosine")
    assert bytes_of(net) == bytes_of(judge)


def test_methods_state_goes_on_too(tmp_path):
    def start(seed):
        net = network(seed)
        methods.prune(net, {"5": 0.5})
        methods.share(net, {"0": 3})
        return net

    whole, _ = train(tmp_path / "whole", start(0))
    with pytest.raises(Stop):
        train(tmp_path / "again", start(0), 8)
    net, _ = train(tmp_path / "again", network(4), resume=True)  # a plain network takes the checkpoint's forms
    assert {n: f.dense().tobytes() for n, f in parametrize.forms(net).items()} == {
        n: f.dense().tobytes() for n, f in parametrize.forms(whole).items()
    }
    assert parametrize.describe(net) == parametrize.describe(whole)


def test_channels_last_leaves_forms_with_five_axes_as_they_are(tmp_path):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(32, 3))
    methods.product_quantize(net, {"2": (2, 4)})
    train(tmp_path, net, channels_last=True)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert parametrize.forms(net)["2.weight"].dense().tobytes() == net[2].weight.detach().numpy().tobytes()


def test_a_loss_that_is_a_module_is_trained_along(tmp_path):
    class Hint(nn.Module):
        """A regressor on the network's first map, as FitNets have."""

        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.regressor = nn.Linear(4, 3)

        def forward(self, network, batch):
            middle = network[:3](batch.images).mean((2, 3))
            return nn.functional.cross_entropy(network(batch.images) + self.regressor(middle), batch.labels)

    loss = Hint()
    before = loss.regressor.weight.detach().clone()
    whole, _ = train(tmp_path / "whole", loss=loss)
    assert not torch.equal(before, loss.regressor.weight)
    with pytest.raises(Stop):
        train(tmp_path / "again", network(), 10, loss=Hint())
    other = Hint()
    other.regressor.weight.data.zero_()
    net, _ = train(tmp_path / "again", network(3), resume=True, loss=other)
    assert bytes_of(net) == bytes_of(whole)
    assert torch.equal(other.regressor.weight, loss.regressor.weight)


def test_the_average_is_what_is_scored_and_returned(tmp_path):
    net, outcome = train(tmp_path, ema=0.9, evaluate=training.evaluator(dataset(200)))
    assert training.evaluator(dataset(200))(net) == outcome.score
    tensors, _ = training.load_checkpoint(tmp_path / "step-00000018.safetensors")
    assert not torch.equal(tensors["network.0.weight"], tensors["ema.0.weight"])
    assert torch.equal(net[0].weight, tensors["ema.0.weight"])
    judge = network()
    ema = training.EMA(judge, 0.9)
    training.fit(
        judge,
        batches(),
        training.optimizer(judge, lr=0.05),
        epochs=3,
        schedule="cosine",
        after_step=lambda step: ema.update(judge, step),
    )
    assert torch.equal(ema.state["0.weight"], net[0].weight)


def test_only_the_newest_checkpoints_stay_and_a_damaged_one_is_stepped_over(tmp_path):
    whole, _ = train(tmp_path / "whole")
    lines = []
    with pytest.raises(Stop):
        train(tmp_path / "again", network(), 9, keep=3)
    names = sorted(path.name for path in (tmp_path / "again").glob("step-*"))
    assert names == [f"step-{step:08}.safetensors" for step in (7, 8, 9)]
    newest = tmp_path / "again" / names[-1]
    newest.write_bytes(newest.read_bytes()[:-20])
    net, _ = train(tmp_path / "again", network(2), resume=True, log=lines.append)
    assert "Trying the one before" in lines[0]
    assert bytes_of(net) == bytes_of(whole)
    for path in (tmp_path / "again").glob("step-*"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        train(tmp_path / "again", resume=True)


def test_another_run_is_refused_and_told_apart(tmp_path):
    train(tmp_path, identity={"data": "one"})
    with pytest.raises(ArgumentError, match="folder holds an earlier run"):
        train(tmp_path, identity={"data": "one"})
    with pytest.raises(CheckpointError, match=r"clip was 0.0, is 2.0; data was 'one', is 'two'; lr was 0.05, is 0.1"):
        train(tmp_path, identity={"data": "two"}, resume=True, lr=0.1, clip=2.0)
    with pytest.raises(CheckpointError, match="another network"):
        train(tmp_path, nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), identity={"data": "one"}, resume=True)


@pytest.mark.parametrize("where", ["loss", "weight"])
def test_what_is_not_a_number_never_reaches_a_checkpoint(tmp_path, where):
    net = network()

    def poison(step):
        if step == 7:
            net[5].weight.data.fill_(math.nan)

    when = {"before_step": poison} if where == "loss" else {}
    if where == "weight":
        net.register_forward_hook(lambda module, given, out: out)
        step = training.Stepper.update

        def update(self):
            step(self)
            update.count += 1
            if update.count == 8:
                net[5].weight.data.fill_(math.nan)

        update.count = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training.Stepper, "update", update)
            with pytest.raises(TrainingError, match=r"step 8: a weight is not a number"):
                train(tmp_path, net)
    else:
        with pytest.raises(TrainingError, match=r"epoch 2, batch 2: the loss is not a number"):
            train(tmp_path, net, **when)
    tensors, words = training.load_checkpoint(tmp_path / "step-00000007.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert training.Checkpoints(tmp_path).paths()[0].name == "step-00000007.safetensors"
    assert (words["position"]["epoch"], words["position"]["step"]) == (1, 1)


def test_the_log_and_the_record_say_what_happened(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, network(), 10, log_every=2, clock=training.Clock(0, 4))
    _, outcome = train(tmp_path, network(), resume=True, log_every=2, about={"network": "small"})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(2, 19, 2))
    assert [line["lr"] for line in steps] == pytest.approx(
        [0.05 * training.lr_factor("cosine", t - 1, 18) for t in range(2, 19, 2)]
    )
    assert all(line["images_per_second"] > 0 for line in steps)
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 6), (2, 12), (3, 18)]
    assert epochs[-1]["error"] == outcome.score["error"]
    record = Training.load(tmp_path)
    assert record.done
    assert record.about == {"network": "small"}
    assert record.history == outcome.history
    assert record.settings["lr"] == 0.05


def test_a_run_can_be_done_in_parts(tmp_path):
    whole, _ = train(tmp_path / "whole")
    _, outcome = train(tmp_path / "parts", until=1)
    assert (outcome.steps, Training.load(tmp_path / "parts").done) == (6, False)
    net, outcome = train(tmp_path / "parts", network(8), until=3, resume=True)
    assert (outcome.steps, Training.load(tmp_path / "parts").done) == (18, True)
    assert bytes_of(net) == bytes_of(whole)


def test_nothing_to_resume_is_said(tmp_path):
    lines = []
    train(tmp_path / "new", resume=True, log=lines.append)
    assert lines == [f"Nothing to go on from in {tmp_path / 'new'}; beginning anew."]


def test_mixup_needs_to_know_the_classes(tmp_path):
    with pytest.raises(ArgumentError, match="number of classes"):
        training.run(network(), batches(), settings(mixup=0.2), folder=tmp_path)


class Signs(nn.Module):
    """Every kind of binary weight: a layer with alpha, one without, two forms; and one that is frozen."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = BinaryConv2d(1, 6, 3, inputs="real")
        self.deep = BinaryConv2d(6, 4, 1, inputs="sign")
        self.plain = BinaryLinear(64, 8, inputs="sign", alpha=False)
        self.scaled, self.connect, self.real = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.frozen = BinaryLinear(3, 3, inputs="real")
        methods.binarize_weights(self, {"scaled": "paper"})
        methods.binary_connect(self, {"connect": 0.5})
        self.frozen.weight.requires_grad_(False).mul_(9)
        with torch.no_grad():
            for weight in self.trained().values():
                weight.add_(0.7).mul_(2)

    def trained(self):
        forms = {name: getattr(self, name).parametrizations.weight.original for name in ("scaled", "connect")}
        return {name: getattr(self, name).weight for name in ("conv", "deep", "plain")} | forms

    def forward(self, x):
        x = self.deep(self.conv(x)).flatten(1)
        return self.real(self.connect(self.scaled(self.plain(x)))) + 0 * self.frozen.weight.sum()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_binary_weights_are_centered_and_clipped_after_training(tmp_path, ema):
    net = Signs()
    still = net.frozen.weight.clone()
    with pytest.raises(Stop):
        train(tmp_path / "again", Signs(), 7, lr=0.02, ema=ema)
    train(tmp_path / "whole", net, lr=0.02, ema=ema)
    for name, weight in net.trained().items():
        bound = 0.5 if name == "connect" else 1.0
        assert weight.abs().max() <= bound + 1e-6, name
    for name in ("deep", "scaled"):  # with alpha and more than one input channel
        rows = net.trained()[name].detach().flatten(1).numpy()
        whole = [row for row in rows if np.abs(row).max() < 0.999]  # of a filter that was clipped the mean is not 0
        assert whole, name
        assert ema or max(abs(sum(map(float, row))) for row in whole) < 1e-5, name
    assert net.conv.weight.flatten(1).mean(1).abs().max() > 0.01  # one input channel is not centered
    assert torch.equal(net.frozen.weight, still)
    resumed, _ = train(tmp_path / "again", Signs(5), resume=True, lr=0.02, ema=ema)
    assert bytes_of(resumed) == bytes_of(net)
