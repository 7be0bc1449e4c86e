"""What integer weights cost in a file: bits a weight, coded, beside the least that is possible.

    python benchmarks/integer_coding.py

Weights are normally distributed, with one standard deviation or with one for each output (log-normal, 0.6), quantized
symmetrically with a scale per output: 8 and 4 bits to the largest magnitude, 2 bits to 1.22 standard deviations. The
least is the code length under the very distribution the codes were drawn from, known for each output, which no coder
can be told. Scales are not counted in either.
"""

from math import erf, sqrt

import numpy as np

from paring.coding import adaptive
from paring.container._weights import encode_adaptive
from paring.forms import Integer


def least_bits(form: Integer, deviations: np.ndarray) -> float:
    """Bits of all codes, each at its own probability."""
    most = (1 << (form.bits - 1)) - 1
    edges = np.concatenate([[-np.inf], np.arange(-most, most) + 0.5, [np.inf]])
    total = 0.0
    for codes, deviation in zip(form.codes.reshape(len(deviations), -1), deviations, strict=True):
        below = np.array([0.5 * (1 + erf(edge / deviation / sqrt(2))) for edge in edges])
        total -= np.log2(np.maximum(np.diff(below), 1e-300))[codes.astype(int) + most].sum()
    return total


def scale_bits(form: Integer) -> int:
    """Bits of the scales in a code of their own."""
    encoder = adaptive.Encoder()
    encoder.numbers(form.scales)
    return 8 * len(encoder.finish())


def main() -> None:
    random = np.random.default_rng(0)
    print("| weight | deviations | bits | least | coded | more |\n|---|---|---|---|---|---|")
    for shape in ((64, 64, 3, 3), (128, 256, 1, 1), (256, 1024)):
        for spread in (0.0, 0.6):
            deviations = np.exp(random.normal(size=shape[0]) * spread)
            weight = random.normal(size=shape) * deviations.reshape(-1, *[1] * (len(shape) - 1))
            rows = np.abs(weight).reshape(shape[0], -1)
            for bits in (8, 4, 2):
                most = (1 << (bits - 1)) - 1
                scales = rows.max(1) / most if bits > 2 else 1.22 * np.sqrt((rows**2).mean(1))
                form = Integer.from_dense(weight, scales, bits)
                least = least_bits(form, deviations / form.scales.astype(np.float64))
                coded = 8 * len(encode_adaptive([form])[0]) - scale_bits(form)
                name, kind = "x".join(map(str, shape)), "several" if spread else "one"
                per = f"{least / weight.size:.3f} | {coded / weight.size:.3f} | {coded / least - 1:.1%}"
                print(f"| {name} | {kind} | {bits} | {per} |")


if __name__ == "__main__":
    main()
