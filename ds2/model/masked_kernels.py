"""The passes of the normalisation over one utterance, compiled: each for channels first, [C, mel, T], and last, [T, C].

All arrays are float32, with padding behind `length`; what is written comes last among the arguments.
"""

import functools

import numpy as np

from ds2.compiled import compiled

_arithmetic = functools.partial(compiled, error_model="numpy", fastmath={"contract", "reassoc"})
_ZERO = np.float32(0.0)


@_arithmetic
def moments_first(length, x, mean, squares):
    """The means of the channels, and the sums of squares around these."""
    count = np.float32(x.shape[1] * length)
    for c in range(x.shape[0]):
        total = _ZERO
        for m in range(x.shape[1]):
            for t in range(length):
                total += x[c, m, t]
        of = total / count
        total = _ZERO
        for m in range(x.shape[1]):
            for t in range(length):
                total += (x[c, m, t] - of) * (x[c, m, t] - of)
        mean[c], squares[c] = of, total


@_arithmetic
def moments_last(length, x, mean, squares):
    """As `moments_first`."""
    mean[:] = _ZERO
    squares[:] = _ZERO
    for t in range(length):
        for c in range(x.shape[1]):
            mean[c] += x[t, c]
    mean /= np.float32(length)
    for t in range(length):
        for c in range(x.shape[1]):
            squares[c] += (x[t, c] - mean[c]) * (x[t, c] - mean[c])


@_arithmetic
def apply_first(length, x, scale, offset, low, high, y):
    """Scales the channels, adds their offsets, and clips the result between low and high."""
    for c in range(x.shape[0]):
        for m in range(x.shape[1]):
            for t in range(length):
                y[c, m, t] = min(max(x[c, m, t] * scale[c] + offset[c], low), high)


@_arithmetic
def apply_last(length, x, scale, offset, low, high, y):
    """As `apply_first`."""
    for t in range(length):
        for c in range(x.shape[1]):
            y[t, c] = min(max(x[t, c] * scale[c] + offset[c], low), high)


@_arithmetic
def sums_first(length, of_y, x, y, mean, low, high, total, deviation):
    """The sums of the gradients that pass the limits, and of their products with x - mean."""
    for c in range(x.shape[0]):
        of_bias = of_scale = _ZERO
        for m in range(x.shape[1]):
            for t in range(length):
                passed = of_y[c, m, t] if low < y[c, m, t] < high else _ZERO
                of_bias += passed
                of_scale += passed * (x[c, m, t] - mean[c])
        total[c], deviation[c] = of_bias, of_scale


@_arithmetic
def sums_last(length, of_y, x, y, mean, low, high, total, deviation):
    """As `sums_first`."""
    total[:] = _ZERO
    deviation[:] = _ZERO
    for t in range(length):
        for c in range(x.shape[1]):
            passed = of_y[t, c] if low < y[t, c] < high else _ZERO
            total[c] += passed
            deviation[c] += passed * (x[t, c] - mean[c])


@_arithmetic
def back_first(length, of_y, x, y, mean, scale, of_mean, of_var, low, high, of_x):
    """The gradient of x: scale * (that of y, where it passes, - of_mean - of_var * (x - mean))."""
    for c in range(x.shape[0]):
        for m in range(x.shape[1]):
            for t in range(length):
                passed = of_y[c, m, t] if low < y[c, m, t] < high else _ZERO
                of_x[c, m, t] = scale[c] * (passed - of_mean[c] - of_var[c] * (x[c, m, t] - mean[c]))


@_arithmetic
def back_last(length, of_y, x, y, mean, scale, of_mean, of_var, low, high, of_x):
    """As `back_first`."""
    for t in range(length):
        for c in range(x.shape[1]):
            passed = of_y[t, c] if low < y[t, c] < high else _ZERO
            of_x[t, c] = scale[c] * (passed - of_mean[c] - of_var[c] * (x[t, c] - mean[c]))
