"""Post-training quantization: a float graph in, a graph that computes with integers out.

Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342, section 3: weights symmetric with a scale
per output channel, activations affine with one scale per value,

    w ~ s_w[c] code,            r ~ s (q - z),

every sum of products in 32-bit integers, as ``docs/reference/arithmetic.md`` defines them. What is done, in order:
batch norms are folded, layers equalized where asked for, activations' ranges read off calibration images (or batch
norms), weights rounded, and, walking through the float and the quantized network side by side, rounding learned where
asked for and biases corrected.

    graph = capture(network, (3, 32, 32))
    quantized = quantize(graph, images)                 # .graph, .rows, .plan; or quantize(module, images)
    quantized = quantize(graph, images, weights={"*": 4, "conv1": 8}, rounding="gptq")
    quantized = quantize(graph, weights=4, activations=None)        # weights alone, no images
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import get_ident
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from paring.capture import BatchNorm, rebuild
from paring.errors import ArgumentError, DataError
from paring.forms import Integer
from paring.graph import LAYERS, Graph, Node, QuantParams, fold_scale_shift, least_scales, simplify
from paring.methods._registry import Trial, method
from paring.methods.integer._alone import round_layer
from paring.methods.integer._bias_correction import correct_analytically
from paring.methods.integer._moments import Moments, Normal, moments, normals
from paring.methods.integer._network import WEIGHTS, float_graph, moved
from paring.methods.integer._observers import OBSERVERS, Histogram, Range, affine
from paring.methods.integer._output_noise import noisiest, output_noise
from paring.methods.integer._plan import Plan
from paring.methods.integer._report import Quantized, describe_plan
from paring.methods.integer._roles import ROUNDING, Bits, assign, widths
from paring.methods.integer._tuning import ROUNDINGS, Tuner
from paring.methods.integer._walk import walk
from paring.methods.integer._weight_scales import SCALES, weight_scales
from paring.methods.integer._workers import Workers, pieces
from paring.methods.integer.equalize._activations import equalize_activations
from paring.methods.integer.equalize._weights import absorb_high_biases, equalize
from paring.methods.integer.qat._module import quantization_aware

#: Integer biases are kept below this, so that sums stay exact in float32 simulation where the products allow it.
_MOST_BIAS = 1 << 23
#: Images on which it is measured what rounding does to the answers.
_NOISE_IMAGES = 8


@method(
    "weights and activations become integers, after training or with it",
    kind="integers",
    form="integer, codes",
    page="integers.md",
    amounts=(WEIGHTS,),
    trial=Trial((8, 6, 5, 4, 3, 2), "bits of a weight", layer=round_layer, usual=True),
    calibrate=128,
    structure=True,
)
def quantize(
    network: nn.Module | Graph,
    images: Tensor | np.ndarray | None = None,
    *,
    weights: Bits = 8,
    activations: Bits = 8,
    per_channel: bool = True,
    scales: str | None = None,
    observer: Literal["lp", "mse", "minmax", "percentile", "entropy"] = "lp",
    rounding: Literal["nearest", "gptq", "adaround"] = "nearest",
    correct: bool = True,
    equalized: bool | str | None = None,
    answers: Literal["float", "codes"] = "float",
    float_outputs: int = 0,
    norms: Mapping[str, BatchNorm] | None = None,
    tuning_images: int = 64,
    options: Mapping[str, float] | None = None,
    example: Any = None,
    aware: bool = False,
    norm_delay: int | None = None,
) -> Quantized:
    """Quantize a network after training.

    Args:
        network: the float network, a module or a graph; unchanged. A module needs images or an ``example``; without
            images its batch norms tell the ranges.
        images: prepared calibration images ``(N, C, H, W)`` (or ``(N, F)``), float32, a hundred or so, not the test
            set. Not needed where ``activations`` is None, or where ``norms`` stand in for them.
        weights: width in bits of each layer's weight, 2 to 8, for all or by shell patterns on layers' names
            (``{"*": 4, "conv1": 8}``), later ones overriding; None leaves a layer in float.
        activations: width of activations, 2 to 8, for all or by patterns on nodes' names; None: activations stay
            float and weights alone become integers.
        per_channel: a scale per output channel, or one for the whole weight.
        scales: ``max`` or ``mse``; by default ``max`` for 6 bits and more, ``mse`` below.
        observer: ``lp``, ``mse``, ``minmax``, ``percentile`` or ``entropy``; how a range is read off the calibration
            images.
        rounding: ``nearest``, ``gptq`` or ``adaround``; the last two need images.
        correct: correct biases, empirically with images, otherwise analytically where ``norms`` are given.
        equalized: ``"activations"`` scales channels by how far they reach on the images
            (:func:`paring.methods.equalize_activations`); True equalizes layers' weights, ``"relu"`` also turns ReLU6
            into ReLU between layers, as DFQ does, and with ``norms`` absorbs high biases; False: nothing. By default
            ``"activations"`` with images and a scale per channel, where activations become codes, otherwise False.
        answers: ``float``: layers that make the network's outputs keep their sums in float, over integer weights;
            ``codes``: they are rounded like all others.
        float_sums: so many layers more keep their sums in float, those whose rounded answers, with the additions they
            feed, disturb the network's answers most on the images (:func:`paring.methods.answer_noise`). It costs the
            time of these layers in float, and nothing in bytes.
        norms: batch norms that were folded, by layer (:func:`paring.capture.norm_statistics`): without images,
            ranges and corrections come from these alone; with images they are only handed on, to be trained.
        tuning_images: how many of the images the walk for rounding and correction takes; it holds their maps.
        options: further arguments of the rounding (``damping``, ``sweeps``; ``steps``, ``rate``).
        example: for a module: an input or its shape; the images' shape if not given.
        aware: give a network that trains the integers through their rounding
            (:func:`paring.methods.integer.qat.quantization_aware`); a module's batch norms are trained, too.
        norm_delay: for ``aware``: training steps after which batch norms are frozen; None for not at all.

    Returns:
        the report, with the graph, the plan and, for a module or ``aware``, the network that computes as the graph.

    Raises:
        ArgumentError: on an option, width or pattern that cannot be, or where images or norms are needed.
        DataError: if the images are none, or not finite, or do not fit the network.
    """
    _check(observer, rounding, scales, equalized)
    module = isinstance(network, nn.Module)
    graph, norms = float_graph(network, images, example, norms, aware)
    graph = fold_scale_shift(simplify(graph))
    calibration = None if images is None else _checked_images(graph, images)
    on_codes = activations is not None
    if calibration is None and (rounding != "nearest" or (on_codes and norms is None)):
        raise ArgumentError("calibration images are needed", fix="Pass images, or batch norms for data-free ranges")
    known: dict[str, Normal] = normals(norms) if norms else {}
    notes: list[str] = []
    if equalized is None:
        equalized = "activations" if calibration is not None and on_codes and per_channel else False
    if equalized:
        bits = assign(graph, weights, on_codes=on_codes, answers=answers).bits
        graph, known = _equalize(graph, known, equalized, calibration, bits, notes)
    roles = assign(graph, weights, on_codes=on_codes, answers=answers)
    plan = Plan(roles)
    told = moments(roles.graph, known) if norms and calibration is None else None
    if on_codes:
        _choose_codes(plan, calibration, told, activations, observer)
    if float_outputs:
        if float_outputs < 0:
            raise ArgumentError(
                "invalid number of layers", found=f"float_outputs={float_outputs}", expected="0 or more"
            )
        if calibration is None or not on_codes:
            raise ArgumentError("sums are kept in float by what images show", found=f"float_outputs={float_outputs}")
        noise = output_noise(plan, calibration[:_NOISE_IMAGES])
        exact = noisiest(roles, noise, float_outputs)
        notes.append(f"sums kept in float, they made most of the noise: {', '.join(exact)}")
        roles = assign(graph, weights, on_codes=on_codes, answers=answers, exact=exact)
        plan = Plan(roles, codes={name: plan.codes[name] for name in (*roles.rounded(), *roles.entries())})
    _choose_weights(plan, per_channel, scales)
    ratios: dict[str, float] = {}
    if calibration is not None:
        tuner = Tuner(plan, rounding, dict(options or {}), centered=correct)
        tune = None if rounding == "nearest" else tuner
        ratios = walk(plan, calibration[:tuning_images], tune, correct)
        notes += [f"{layer}: {note}" for layer, note in tuner.notes.items()]
    elif correct and told is not None:
        correct_analytically(plan, told)
    _hold_biases(plan)
    kept = {name: moved(norm, known[name]) for name, norm in (norms or {}).items()}
    made = replace(describe_plan(plan, ratios, notes), norms=kept)
    if aware:
        return replace(made, network=quantization_aware(made, norm_delay=norm_delay))
    return replace(made, network=rebuild(made.graph)) if module else made


def observe(graph: Graph, images: Tensor, values: list[str]) -> dict[str, Histogram]:
    """Histograms of named values of a float graph over prepared images ``(N, C, H, W)``, in one pass."""
    network = rebuild(graph)
    found: dict[int, dict[str, Histogram]] = {}

    def look(part: slice) -> None:
        own = found.setdefault(get_ident(), {name: Histogram() for name in values})
        for name, value in network.steps(images[part]):
            if name in own:
                own[name].update(value)

    with Workers() as workers:
        workers.each(look, pieces(graph.shapes, len(images)))
    whole, *others = found.values()  # counts do not depend on who saw which image
    for other in others:
        for name, histogram in other.items():
            whole[name].merge(histogram)
    return whole


def _choose_codes(
    plan: Plan, images: Tensor | None, told: Mapping[str, Moments] | None, bits: Bits, observer: str
) -> None:
    """Scale and zero point of everything that becomes codes."""
    roles = plan.roles
    values = list(dict.fromkeys([*roles.rounded(), *roles.entries()]))
    makers = {roles.settled(node.name): node.name for node in plan.graph.nodes if roles.role[node.name] in ROUNDING}
    width = widths([makers.get(value, value) for value in values], bits, "activation")
    homes = _homes(plan)
    ranges: dict[str, Range] = {}
    if images is not None:
        histograms = observe(plan.graph, images, values)
        for value in values:
            b = width[makers.get(value, value)] or 8
            ranges[value] = OBSERVERS[observer](histograms[value], b)
    else:
        assert told is not None
        ranges = {value: (float(told[value].low.min()), float(told[value].high.max())) for value in values}
    for value in values:
        home = homes.get(value, value)
        chosen = width[makers.get(home, home)]
        if chosen is None:
            raise ArgumentError("an activation's width cannot be None alone", where=value, fix="Leave its layer float")
        scale, zero = affine(*ranges[home], chosen)
        plan.codes[value] = QuantParams(float(scale), zero, chosen)


def _homes(plan: Plan) -> dict[str, str]:
    """Values that one concatenation alone reads, to that concatenation, whose scale they can take on at once."""
    readers = plan.graph.readers()
    homes: dict[str, str] = {}
    for node in reversed(plan.graph.nodes):
        if plan.roles.role[node.name] not in ROUNDING:
            continue
        value = plan.roles.settled(node.name)
        there = readers[value]
        if len(there) == 1 and plan.roles.role[there[0].name] == "concat" and value not in plan.graph.outputs:
            homes[value] = homes.get(there[0].name, there[0].name)
    return homes


def _choose_weights(plan: Plan, per_channel: bool, how: str | None) -> None:
    """Round every layer's weight to nearest, and note its bias."""
    for node in plan.graph.nodes:
        if node.name not in plan.roles.bits:
            continue
        name, bits = node.weights["weight"], plan.roles.bits[node.name]
        weight = plan.graph.weights[name].dense()
        axis = LAYERS[node.op][0] if per_channel else None
        chosen = weight_scales(weight, bits, axis, how or ("max" if bits >= 6 else "mse"))
        attrs: Any = node.attrs
        outputs = weight.shape[1] * attrs["groups"] if LAYERS[node.op][0] == 1 else len(weight)
        bias = np.zeros(outputs)
        if "bias" in node.weights:
            bias = plan.graph.weights[node.weights["bias"]].dense().astype(np.float64)
        plan.biases[node.name] = bias
        if plan.roles.role[node.name] == "layer":
            least = np.abs(bias) / (float(_source(plan, node).scale) * _MOST_BIAS)
            chosen = np.maximum(chosen, least if per_channel else least.max()).astype(np.float32)
        if name in plan.weights:  # two layers share it: the wider scales serve both
            chosen = np.maximum(chosen, plan.weights[name].scales)
            bits = max(bits, plan.weights[name].bits)
        plan.weights[name] = Integer.from_dense(weight, chosen, bits, axis or 0)


def _hold_biases(plan: Plan) -> None:
    """Widen the scales of channels whose corrected bias no longer fits; such weights vanish beside the bias."""
    for node in plan.graph.nodes:
        if plan.roles.role[node.name] != "layer":
            continue
        name = node.weights["weight"]
        form = plan.weights[name]
        least = least_scales(plan.biases[node.name].astype(np.float32), _source(plan, node).scale)
        wider = np.maximum(form.scales, least if len(form.scales) > 1 else least.max())
        if (wider > form.scales).any():
            plan.weights[name] = Integer.from_dense(form.dense(), wider, form.bits, form.axis)


def _source(plan: Plan, node: Node) -> QuantParams:
    """What a layer's input codes stand for, followed back through what only moves them."""
    makers = {n.name: n for n in plan.graph.nodes}
    value = node.inputs[0]
    while value not in plan.codes:
        value = makers[value].inputs[0]
    return plan.codes[value]


def _equalize(
    graph: Graph,
    known: dict[str, Normal],
    how: bool | str,
    images: Tensor | None,
    bits: Mapping[str, int],
    notes: list[str],
) -> tuple[Graph, dict[str, Normal]]:
    if how == "activations":
        if images is None:
            raise ArgumentError("calibration images are needed", found='equalized="activations"')
        scaled = equalize_activations(graph, images, bits, known)
        notes.append(f"scaled the channels that {len(scaled.layers)} layers read")
        return scaled.graph, scaled.normals
    done = equalize(graph, known, clips="relu" if how == "relu" else "keep")
    notes.append(f"equalized {len(done.links)} pairs of layers")
    if done.unclipped:
        notes.append(f"{len(done.unclipped)} bounded relus became relu: {', '.join(done.unclipped)}")
    graph, known = done.graph, done.normals
    if how == "relu" and known:
        absorbed = absorb_high_biases(graph, known)
        notes.append(f"absorbed high biases in {len(absorbed.links)} pairs of layers")
        graph, known = absorbed.graph, absorbed.normals
    return graph, known


def _check(observer: str, rounding: str, scales: str | None, equalized: bool | str | None) -> None:
    for what, found, expected in (
        ("way to equalize", equalized, (None, False, True, "relu", "activations")),
        ("observer", observer, tuple(OBSERVERS)),
        ("rounding", rounding, ROUNDINGS),
        ("way to choose a weight's scale", scales, (None, *SCALES)),
    ):
        if found not in expected:
            raise ArgumentError(f"unknown {what}", found=repr(found), expected=", ".join(map(str, expected)))


def _checked_images(graph: Graph, images: Tensor | np.ndarray) -> Tensor:
    if len(graph.inputs) != 1:
        raise ArgumentError("a network of several inputs cannot be calibrated yet", found=list(graph.inputs))
    images = torch.as_tensor(images)
    shape = next(iter(graph.inputs.values()))
    wanted = shape if len(shape) == 1 else (shape[2], *shape[:2])
    fits = tuple(images.shape[1:]) == wanted or (len(wanted) == 3 and tuple(images.shape[1:]) == (wanted[0], wanted[2]))
    if images.dtype != torch.float32 or not fits:
        expected = f"float32 (N, {', '.join(map(str, wanted))})"
        raise DataError(
            "calibration images do not fit", found=f"{images.dtype} {tuple(images.shape)}", expected=expected
        )
    if not len(images):
        raise DataError("there are no calibration images", expected="a hundred or so")
    if not images.isfinite().all():
        raise DataError("a calibration image holds what is not a finite number")
    return images
