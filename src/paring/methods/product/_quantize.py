"""Product quantization: sub-vectors of a layer's weight share a few centroids, which are then trained.

Gong, Liu, Yang, Bourdev, "Compressing deep convolutional networks using vector quantization", 2014, arXiv 1412.6115,
for fully connected layers; Wu, Leng, Wang, Hu, Cheng, "Quantized convolutional neural networks for mobile devices"
(Q-CNN), CVPR 2016, arXiv 1512.06473, for convolutions, too. The input channels are cut into sub-spaces of length ``d``
with a codebook each, common to all outputs and all places of the kernel, and

    W[o, m d + t, p] = C[m, B[o, m, p], t],     dL/dC[m, k, t] = sum over (o, p) with B = k of  dL/dW[o, m d + t, p].

The codes ``B`` are fixed, the codebooks ``C`` trained. With residual stages, further codebooks are added that quantize
what the earlier ones left. Vector quantization is the case of one sub-space, a sub-vector as long as the inputs
(``length=None``); with stages, Gong's residual quantization.

Given calibration images, codebooks and codes are chosen for the layers' answers, as in Q-CNN, with error correction:
each layer is fitted to the float network's answer on the inputs that the layers quantized before it produce.

The rate, for ``n`` weights of ``b`` bits in rows of ``I`` inputs: ``n b / (b R k I + R log2(k) n / d)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2, prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from paring.errors import ArgumentError
from paring.forms import Product
from paring.forms._product import MAX_STAGES
from paring.graph import Node
from paring.methods._amounts import Amount, Targets
from paring.methods._least_squares import MAX_COLUMNS, LeastSquares
from paring.methods._registry import Trial, method
from paring.methods._report import Report, Row
from paring.methods.product._codewords import Decode, code_rows, decode
from paring.methods.product._paired import walk_layers
from paring.methods.product._responses import ResponseProblem, fit_codes
from paring.methods.product._subvectors import check_length, product_codes
from paring.methods.sharing._kmeans_reference import checked_centroids
from paring.parametrize import FormParametrization, attach, round_half, select
from paring.parametrize._select import WEIGHTED, value
from paring.parametrize._untouched import untouched


@dataclass(frozen=True)
class ProductCoded(Row):
    """What became of one layer; before and after are bits a weight, before any coding of the codes.

    Attributes:
        length: of a sub-vector.
        centroids: of each sub-space.
        stages: 1 without residuals.
        rate: how many times smaller than 32-bit floats, before any coding of the codes.
        error: ``|W - W'| / |W|``.
        response: ``|Y - Y'| / |Y|`` over the images, biases included, ``Y'`` the answer in the quantized network; None
            without images.
        unfitted: why the codes were not fitted to the images given, else empty.
    """

    length: int = 0
    centroids: int = 0
    stages: int = 1
    rate: float = 1.0
    error: float = 0.0
    response: float | None = None
    unfitted: str = ""


class ProductQuantized(FormParametrization):
    """``weight`` is the sum over stages of the codewords that ``codes`` name; the trained original is the codebooks.

    Args:
        codebooks: float ``(stages, spaces, centroids, length)``, the start of training.
        codes: integer tensor ``(stages, out, spaces, *places)``.
        bits: width of a component in training and in the file, 32 or 16.
    """

    kind = "product"
    codes: Tensor
    rows: Tensor

    def __init__(self, codebooks: Tensor, codes: Tensor, bits: int = 32) -> None:
        super().__init__()
        self.bits, self.stages = bits, len(codebooks)
        self.centroids, self.length = codebooks.shape[2:]
        self._start: Tensor | None = codebooks
        self.register_buffer("codes", codes.to(torch.int32))
        self.register_buffer("rows", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.refresh()

    @classmethod
    def blank(
        cls, shape: tuple[int, ...], length: int = 1, centroids: int = 1, stages: int = 1, bits: int = 32
    ) -> ProductQuantized:
        """One with everything zero, to load a state into; call :meth:`refresh` after it."""
        spaces = shape[1] // length
        books = torch.zeros(stages, spaces, centroids, length)
        return cls(books, torch.zeros(stages, shape[0], spaces, *shape[2:], dtype=torch.int32), bits)

    def refresh(self) -> None:
        """Rebuild what is derived from ``codes``; needed after they were changed."""
        self.rows = code_rows(self.codes, self.centroids)

    def options(self) -> dict[str, int]:
        return {"length": self.length, "centroids": self.centroids, "stages": self.stages, "bits": self.bits}

    def forward(self, codebooks: Tensor) -> Tensor:
        """The weight ``(out, spaces * length, *places)``."""
        table = round_half(codebooks) if self.bits == 16 else codebooks
        out, spaces, *kernel = self.codes.shape[1:]
        return Decode.apply(table, self.rows).reshape(out, spaces * self.length, *kernel)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The codebooks; the weight they stand for was chosen when this was made."""
        if self._start is None:
            raise ArgumentError("a product-quantized weight cannot be assigned", fix="Train its codebooks, or bake it")
        start, self._start = self._start, None
        return start.to(weight.dtype).to(weight.device)

    def form(self, original: Tensor) -> Product:
        return Product(original.numpy(force=True), self.codes.numpy(force=True), self.bits)


def read_vectors(text: str) -> tuple[int, ...]:
    """``4x64``, or ``4x64x2``."""
    return tuple(int(part) for part in text.split("x"))


VECTORS = Amount(
    "vectors",
    "target",
    "(length, centroids) or (length, centroids, stages), such as 4x64",
    lambda value: checked_target(read_vectors(value) if isinstance(value, str) else value),
    str,
    lambda value: value if isinstance(value, str) else "x".join(map(str, value)),
)


@method(
    "sub-vectors of a layer's weights share centroids, fitted to weights or answers",
    kind="sharing",
    form="product",
    page="product_quantization.md",
    amounts=(VECTORS,),
    trial=Trial(("2x64", "4x64", "4x16"), "length of a sub-vector x centroids"),
    calibrate=128,
)
def product_quantize(
    module: nn.Module,
    targets: Targets = None,
    *,
    vectors: Targets = None,
    images: Tensor | None = None,
    rounds: int = 3,
    damping: float = 0.01,
    bits: int = 32,
    seed: int = 0,
) -> Report[ProductCoded]:
    """Quantize the sub-vectors of each selected layer, ready to be trained.

    Args:
        module: the network, changed in place; make the optimizer afterwards.
        targets: ``(length, centroids)`` or ``(length, centroids, stages)``, for all layers or by patterns
            (:func:`paring.parametrize.select`). The length divides the input channels of one group; None is all of
            them, vector quantization. A sub-space gets no more centroids than it has sub-vectors.
        vectors: the same, named.
        images: calibration images as the network takes them, ``(N, C, H, W)``, on its device: codebooks and codes are
            then fitted to the layers' answers, one layer after the other. Without, to the weights.
        rounds: turns over codebooks and codes that the fit to the images takes.
        damping: how strongly that fit is held to the weights, as a share of their inputs' mean square.
        bits: 32, or 16 to train and store the codebooks in half precision.
        seed: of the clustering's starts.

    Returns:
        bits a weight of each layer, before and after.

    Raises:
        ArgumentError: if a target cannot be, a pattern matches nothing or what is no fully connected or convolution
            layer, a length does not divide a layer's inputs, a weight has a form already, is shared between modules
            or not finite, or the images do not reach a layer; nothing is changed.
        ParingError: if faiss is needed and not installed.
    """
    if bits not in (32, 16):
        raise ArgumentError("invalid width of a centroid", found=bits, expected="32 or 16")
    chosen = select(module, VECTORS.targets(targets, vectors))
    there = untouched(module, chosen)
    coded: dict[str, tuple[Tensor, Tensor]] = {}
    for name, (length, k, stages) in chosen.items():
        place = there[name]
        if not isinstance(place.module, WEIGHTED) or place.tensor != "weight":
            raise ArgumentError("only the weight of a fully connected or convolution layer has sub-vectors", where=name)
        weight = value(place)
        length = weight.shape[1] if length is None else length
        _where(name, check_length, tuple(weight.shape), length)
        chosen[name] = length, k, stages
    for name, (length, k, stages) in chosen.items():
        weight = value(there[name])
        plain = _where(name, product_codes, weight.numpy(force=True), length, k, stages, seed=seed, bits=bits)
        coded[name] = torch.from_numpy(plain[0]).to(weight), torch.from_numpy(plain[1]).to(weight.device)
    layers = {name: there[name].module for name in chosen}
    fitting = _Fitting(coded, rounds, damping, bits)
    norms = {} if images is None else walk_layers(module, layers, images, fitting)
    outcomes = {name: _outcome(value(there[name]), *coded[name], norms.get(name)) for name in chosen}
    for name, (codebooks, codes) in coded.items():
        attach(there[name], ProductQuantized(codebooks, codes, bits))
    rows = tuple(replace(row, name=name, unfitted=fitting.reasons.get(name, "")) for name, row in outcomes.items())
    rows = tuple(replace(row, done=_words(row)) for row in rows)
    summary = f"{len(rows)} weights share sub-vectors"
    return Report(method="product_quantize", unit="bits a weight", rows=rows, summary=summary, network=module)


def _words(row: ProductCoded) -> str:
    answers = "" if row.response is None else f", of its answers {row.response:.3f}"
    stages = f", {row.stages} stages" if row.stages > 1 else ""
    why = f", not fitted to images: {row.unfitted}" if row.unfitted else ""
    return f"{row.length} long, {row.centroids} centroids{stages}, error {row.error:.3f}{answers}{why}"


def product_rate(shape: Sequence[int], length: int, k: int, stages: int = 1, bits: int = 32) -> float:
    """Rate of product codes alone, ``n b / (b R k I + R log2(k) n / d)``.

    Args:
        shape: of the weight, ``(out, I, *places)``.
        length: ``d``.
        k: centroids of each sub-space.
        stages: ``R``.
        bits: ``b``, of a weight and of a centroid's component.
    """
    size = prod(shape)
    return size * bits / (stages * (bits * k * shape[1] + log2(k) * size / length))


def checked_target(target: Sequence[int | None]) -> tuple[int | None, int, int]:
    """``(length, centroids, stages)``.

    Raises:
        ArgumentError: if it is not two or three numbers in their ranges.
    """
    parts: list[Any] = list(target) if isinstance(target, Sequence) and not isinstance(target, str) else []
    if len(parts) not in (2, 3):
        raise ArgumentError(
            "invalid target", found=repr(target), expected="(length, centroids) or (length, centroids, stages)"
        )
    length, k, stages = parts if len(parts) == 3 else (*parts, 1)
    if length is not None and (int(length) != length or length < 1):
        raise ArgumentError("invalid length of a sub-vector", found=length, expected="1 or more, or None for all")
    if int(stages) != stages or not 1 <= stages <= MAX_STAGES:
        raise ArgumentError("invalid number of stages", found=stages, expected=f"1 to {MAX_STAGES}")
    return None if length is None else int(length), checked_centroids(k), int(stages)


class _Fitting:
    """Fits each layer's codes as the walk comes by; notes where it could not."""

    def __init__(self, coded: dict[str, tuple[Tensor, Tensor]], rounds: int, damping: float, bits: int) -> None:
        self.coded, self.rounds, self.damping, self.bits = coded, rounds, damping, bits
        self.reasons: dict[str, str] = {}

    def __call__(self, name: str, layer: nn.Module, rough: Tensor, exact: Tensor) -> Tensor:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        bias = layer.bias if isinstance(layer.bias, Tensor) else weight.new_zeros(len(weight))
        codebooks, codes = self.coded[name]
        problem = _where(name, self._problem, name, layer, weight.detach(), rough, exact, bias)
        if problem is not None:
            codebooks, codes = fit_codes(problem, codebooks, codes, rounds=self.rounds, bits=self.bits)
            self.coded[name] = codebooks, codes
        return decode(codebooks, code_rows(codes, codebooks.shape[2])).reshape(weight.shape)

    def _problem(
        self, name: str, layer: nn.Module, weight: Tensor, rough: Tensor, exact: Tensor, bias: Tensor
    ) -> ResponseProblem | None:
        if isinstance(layer, nn.Linear):
            x, y = rough.reshape(-1, rough.shape[-1]), (exact - bias).reshape(-1, len(weight))
            if len(x) <= x.shape[1]:
                return ResponseProblem.of_inputs(weight[None], x.t()[None], y.t()[None], self.damping)
            node = Node(name, "linear", ())
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            sides = list(layer._reversed_padding_repeated_twice)
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            x = F.pad(rough, sides, mode=mode) if any(sides) else rough
            y = exact - bias.view(-1, *[1] * (exact.ndim - 2))
            stride, dilation = layer.stride, layer.dilation
            if isinstance(layer, nn.Conv1d):
                x, y, weight = x.unsqueeze(2), y.unsqueeze(2), weight.unsqueeze(2)
                stride, dilation = (1, *stride), (1, *dilation)
            attrs: dict[str, Any] = {
                "groups": layer.groups,
                "padding": (0, 0, 0, 0),
                "stride": stride,
                "dilation": dilation,
            }
            node = Node(name, "conv2d", (), attrs)
        else:
            self.reasons[name] = f"{type(layer).__name__} is not fitted to images"
            return None
        if weight[0].numel() > MAX_COLUMNS:
            self.reasons[name] = f"{weight[0].numel()} columns are more than {MAX_COLUMNS}"
            return None
        moments = LeastSquares.of(node, weight)
        moments.add(node, x, y)
        return ResponseProblem.of_moments(moments, self.damping)


def _outcome(weight: Tensor, codebooks: Tensor, codes: Tensor, norms: tuple[float, float] | None) -> ProductCoded:
    stages, _, k, length = codebooks.shape
    made = decode(codebooks, code_rows(codes, k)).reshape(weight.shape)
    error = float((weight - made).norm()) / max(float(weight.norm()), 1e-30)
    response = None if norms is None else sqrt(norms[1] / max(norms[0], 1e-300))
    rate = product_rate(weight.shape, length, k, stages)
    return ProductCoded("", 32, 32 / rate, "", "", length, k, stages, rate, error, response)


def _where(name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
    """The function's answer; its error names the layer."""
    try:
        return function(*args, **kwargs)
    except ArgumentError as error:
        raise ArgumentError(error.what, where=name, found=error.found, expected=error.expected, fix=error.fix) from None
