"""Integer arithmetic against exact fractions, and the worked examples of docs/reference/arithmetic.md."""

import struct
from fractions import Fraction

import numpy as np
import pytest

from paring.errors import ArgumentError
from paring.graph import (
    QuantParams,
    dequantize,
    integer_bias,
    least_scales,
    multiplier,
    multipliers,
    quantize,
    requantize,
    to_codes,
)


def rounded(exact, precision, emin):
    """The binary float of this precision nearest to a fraction, ties to even: the judge of every float operation."""
    exact = Fraction(exact)
    if exact == 0:
        return Fraction(0)
    exponent = 0
    while abs(exact) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(exact) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, emin) - precision + 1)
    return round(exact / unit) * unit  # Fraction rounds ties to even


def f32(exact):
    return rounded(exact, 24, -126)


def f64(exact):
    return rounded(exact, 53, -1022)


def clamp(value, low, high):
    return min(max(value, low), high)


def test_the_judge_rounds_as_the_processor_does():
    rng = np.random.default_rng(0)
    for x in rng.normal(size=200) * 10.0 ** rng.integers(-30, 30, 200):
        assert f32(Fraction(x)) == Fraction(struct.unpack("f", struct.pack("f", x))[0])
        assert f64(Fraction(x) / 3) == Fraction(x / 3)


def test_quantize_is_one_division_and_one_rounding():
    rng = np.random.default_rng(1)
    for codes in (
        QuantParams(0.5, 3, 4),
        QuantParams(0.1, 128),
        QuantParams(0.037, 0),
        QuantParams(3e-7, 255),
        QuantParams(0.01, 1, 2),
    ):
        x = (rng.normal(size=300) * codes.scale * 60).astype(np.float32)
        x[:8] = codes.scale * np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1e6, -1e6, 1e30], np.float32)
        expected = [
            clamp(round(f32(Fraction(float(v)) / Fraction(codes.scale))) + codes.zero_point, 0, codes.high) for v in x
        ]
        found = quantize(x, codes)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
        real = dequantize(found, codes)
        assert real.dtype == np.float32
        assert [Fraction(float(r)) for r in real] == [
            f32((q - codes.zero_point) * Fraction(codes.scale)) for q in expected
        ]


def test_not_a_number_is_code_zero_and_infinity_saturates():
    np.testing.assert_array_equal(
        quantize(np.array([np.nan, np.inf, -np.inf], np.float32), QuantParams(0.1, 7, 5)), [0, 31, 0]
    )


def test_constants_are_float64_from_left_to_right():
    rng = np.random.default_rng(2)
    for s, t in 10 ** rng.uniform(-6, 2, (60, 2)):
        s, t = float(np.float32(s)), float(np.float32(t))
        w = (10 ** rng.uniform(-6, 0, 3)).astype(np.float32)
        exact = [f32(f64(f64(Fraction(s) * Fraction(float(v))) / Fraction(t))) for v in w]
        assert [Fraction(float(m)) for m in multipliers(s, w, t)] == exact
        assert Fraction(float(multiplier(s, t, 49))) == f32(f64(Fraction(s) / f64(Fraction(t) * 49)))
        bias = rng.normal(size=3).astype(np.float32)
        exact = [
            round(f64(Fraction(float(b)) / f64(Fraction(s) * Fraction(float(v))))) for b, v in zip(bias, w, strict=True)
        ]
        if max(map(abs, exact)) <= 1 << 30:
            np.testing.assert_array_equal(integer_bias(bias, s, w), exact)


def test_sums_to_codes():
    rng = np.random.default_rng(3)
    sums = np.concatenate(
        [rng.integers(-(1 << 31), 1 << 31, 200), rng.integers(-3000, 3000, 200), [1 << 24, (1 << 24) + 1, -(1 << 31)]]
    )
    for m, z, low, high in (
        (0.0123, 5, 5, 255),
        (1e-7, 128, 0, 200),
        (3.5, 0, 0, 15),
        (2.0**-120, 9, 0, 255),
        (2.0**60, 1, 0, 3),
    ):
        m = np.float32(m)
        expected = [clamp(round(f32(f32(int(a)) * Fraction(float(m)))) + z, low, high) for a in sums]
        np.testing.assert_array_equal(requantize(sums, m, z, low, high), expected)


def test_least_scales_are_just_large_enough():
    rng = np.random.default_rng(4)
    for source in (0.02, 3.0, 1e-5):
        bias = (rng.normal(size=50) * 10.0 ** rng.integers(-8, 3, 50)).astype(np.float32)
        bias[0] = 0
        scales = least_scales(bias, source)
        assert scales.dtype == np.float32
        assert np.all(scales > 0)
        assert np.all(np.abs(integer_bias(bias, source, scales)) <= 1 << 30)
        big = np.abs(bias) > 1e-6
        with pytest.raises(ArgumentError, match="bias is too large"):
            integer_bias(bias[big], source, scales[big] * np.float32(0.99))


def test_examples_of_the_document():
    codes = QuantParams(0.5, 3, 4)
    np.testing.assert_array_equal(quantize(np.array([0.25, 0.75, 7.0, -9.0], np.float32), codes), [3, 5, 15, 0])
    assert dequantize(np.uint8([15]), codes) == 6.0
    m = multipliers(0.5, np.float32([0.25]), 0.75)
    assert float(m[0]) == 0.16666667163372040
    assert integer_bias(np.float32([0.3]), 0.5, np.float32([0.25])) == 2
    assert requantize(np.array([3]), m, 10, 0, 255) == 10
    assert round(Fraction(3) * Fraction(float(m[0]))) + 10 == 11
    a, b, y = QuantParams(0.1, 0), QuantParams(0.2, 128), QuantParams(0.25, 100)
    m_a, m_b = multiplier(a.scale, y.scale), multiplier(b.scale, y.scale)
    assert (float(m_a), float(m_b)) == (0.4000000059604645, 0.800000011920929)
    total = np.float32(7) * m_a + np.float32(1) * m_b
    assert (float(np.float32(7) * m_a), float(total)) == (2.799999952316284, 3.5999999046325684)
    assert to_codes(total, 100, 0, 255) == 104
    assert requantize(np.array([5]), multiplier(0.3, 0.3, 4), 0, 0, 255) == 1
    assert requantize(np.array([6]), multiplier(0.3, 0.3, 4), 0, 0, 255) == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: QuantParams(0.0, 0), "scale"),
        (lambda: QuantParams(float("nan"), 0), "scale"),
        (lambda: QuantParams(1e38, 0), "scale"),
        (lambda: QuantParams(1.0, 256), "zero point"),
        (lambda: QuantParams(1.0, 16, 4), "zero point"),
        (lambda: QuantParams(1.0, 0, 9), "width"),
        (lambda: QuantParams(1.0, 0, 1), "width"),
        (lambda: QuantParams.of({"scale": 0.1, "zero_point": 0, "bits": 8}), "float32"),
        (lambda: multiplier(2.0**90, 2.0**-90), "far apart"),
        (lambda: multipliers(2.0**-90, np.float32([1, 2.0**-60]), 1.0), "far apart"),
        (lambda: integer_bias(np.float32([np.nan]), 1.0, np.float32([1])), "bias"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()
