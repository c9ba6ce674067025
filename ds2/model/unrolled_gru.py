"""A bidirectional GRU for CPUs: compiled loops over the steps, the two directions side by side, without padding.

Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder", with the reset gate behind the product,
as Paddle and cuDNN have it:

    r = sigmoid(Wr x + br + Ur h + cr)
    z = sigmoid(Wz x + bz + Uz h + cz)
    n = tanh(Wn x + bn + r (Un h + cn))
    h' = z h + (1 - z) n

Utterances stand behind each other in rows, sorted by falling length while steps are taken: at a step only the first
ones go on.
"""

import functools

import numpy as np
import paddle
from paddle import nn

from ds2.compiled import compiled
from ds2.model.arrays import as_array, as_tensor, each

# A division by zero gives infinity, so that processors compute many values at once.
_arithmetic = functools.partial(compiled, error_model="numpy", fastmath={"contract"})
_ENDS = ("", "_reverse")
_NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def bidirectional(x: paddle.Tensor, lengths: list[int], gru: nn.GRU) -> paddle.Tensor:
    """The outputs of a Paddle GRU of one layer: float32 [B, T, in] to [B, T, 2 * size], zero behind the lengths."""
    return _Gru.apply(x, *(getattr(gru, name + end) for end in _ENDS for name in _NAMES), lengths)


class _Rows:
    """The rows of the utterances' real steps, which stand behind each other."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        order = np.argsort(-np.array(lengths), kind="stable")
        self.first, self.sorted = starts[order], np.array(lengths)[order]

    def packed(self, values: np.ndarray) -> np.ndarray:
        """[B, T, n] to [rows, n]."""
        return np.concatenate([one[:length] for one, length in zip(values, self.lengths, strict=True)])

    def spread(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """[rows, n] to [B, T, n], zero in the padding."""
        out, at = np.zeros(shape, np.float32), 0
        for one, length in zip(out, self.lengths, strict=True):
            one[:length] = rows[at : at + length]
            at += length
        return out

    def before(self, hidden: np.ndarray, backwards: bool) -> np.ndarray:
        """Of each row of a direction's outputs the one that it was made from, zeros at the beginning."""
        out = np.zeros_like(hidden)
        if backwards:
            out[:-1] = hidden[1:]
        else:
            out[1:] = hidden[:-1]
        ends = self.first + (self.sorted - 1 if backwards else 0)
        out[ends[self.sorted > 0]] = 0.0
        return out


class _Gru(paddle.autograd.PyLayer):
    @staticmethod
    def forward(ctx, x, *weights_and_lengths):
        *weights, lengths = weights_and_lengths
        ctx.save_for_backward(x, *weights)
        rows = _Rows(lengths)
        packed = rows.packed(as_array(x))
        directions = _directions(weights)

        def one(backwards: bool) -> tuple[np.ndarray, np.ndarray]:
            of_x, of_h, bias_x, bias_h = directions[backwards]
            inputs = packed @ of_x.T
            inputs += bias_x
            gates = np.empty((len(packed), 4 * of_h.shape[1]), np.float32)
            hidden = np.empty((len(packed), of_h.shape[1]), np.float32)
            _steps(inputs, np.ascontiguousarray(of_h), bias_h, rows.first, rows.sorted, backwards, gates, hidden)
            return gates, hidden

        found = each(one, (False, True))
        ctx.rows, ctx.packed, ctx.found = rows, packed, found
        hidden = np.concatenate([hidden for _, hidden in found], axis=1)
        return as_tensor(rows.spread(hidden, (*x.shape[:2], hidden.shape[1])))

    @staticmethod
    def backward(ctx, gradient):
        x, *weights = ctx.saved_tensor()
        rows, packed, directions = ctx.rows, ctx.packed, _directions(weights)
        of_hidden = np.split(rows.packed(as_array(gradient)), 2, axis=1)

        def one(backwards: bool) -> tuple[np.ndarray, ...]:
            of_x, of_h, *_ = directions[backwards]
            gates, hidden = ctx.found[backwards]
            before = rows.before(hidden, backwards)
            of_inputs, of_products = (np.empty((len(packed), len(of_h)), np.float32) for _ in range(2))
            toward = np.ascontiguousarray(of_hidden[backwards])
            _steps_back(
                toward, np.ascontiguousarray(of_h.T), before, gates, rows.first, rows.sorted, backwards, of_inputs,
                of_products,
            )  # fmt: skip
            of_weights = of_inputs.T @ packed, of_products.T @ before, of_inputs.sum(axis=0), of_products.sum(axis=0)
            return of_inputs @ of_x, *of_weights

        (of_x, *forwards), (of_x_too, *backwards) = each(one, (False, True))
        of_x += of_x_too
        return as_tensor(rows.spread(of_x, x.shape)), *map(as_tensor, (*forwards, *backwards))


def _directions(weights: list[paddle.Tensor]) -> list[list[np.ndarray]]:
    arrays = [as_array(weight) for weight in weights]
    return [arrays[:4], arrays[4:]]


@_arithmetic
def _steps(inputs, of_h, bias, first, lengths, backwards, gates, hidden):
    """Fills hidden [rows, n] and gates [rows, 4 n]: r, z, n and Un h + cn, from the inputs' part of all gates."""
    size = of_h.shape[1]
    one, half = np.float32(1.0), np.float32(0.5)
    state = np.zeros((len(lengths), size), np.float32)
    products = np.empty((len(lengths), 3 * size), np.float32)
    buffer = np.empty(products.size, np.float32)
    active = len(lengths)
    for step in range(lengths[0] if len(lengths) else 0):
        while lengths[active - 1] <= step:
            active -= 1
        _product(of_h, state[:active], buffer, products)
        for i in range(active):
            row = first[i] + (lengths[i] - 1 - step if backwards else step)
            x, u, g, h, y = inputs[row], products[i], gates[row], state[i], hidden[row]
            for k in range(2 * size):
                g[k] = half * _tanh(half * (x[k] + u[k] + bias[k])) + half
            r, z, n, product = g[:size], g[size : 2 * size], g[2 * size : 3 * size], g[3 * size :]
            product[:] = u[2 * size :] + bias[2 * size :]
            x_of_n = x[2 * size :]
            for k in range(size):
                n[k] = _tanh(x_of_n[k] + r[k] * product[k])
            for k in range(size):
                y[k] = z[k] * h[k] + (one - z[k]) * n[k]
            h[:] = y


@_arithmetic
def _steps_back(toward, to_state, before, gates, first, lengths, backwards, of_inputs, of_products):
    """Fills the gradients [rows, 3 n] of the inputs' part of the gates and of the products with the state."""
    size = before.shape[1]
    one = np.float32(1.0)
    carried = np.zeros((len(lengths), size), np.float32)
    of_gates = np.empty((len(lengths), 3 * size), np.float32)
    onward = np.empty((len(lengths), size), np.float32)
    buffer = np.empty(onward.size, np.float32)
    active = 0
    for step in range(lengths[0] - 1 if len(lengths) else -1, -1, -1):
        while active < len(lengths) and lengths[active] > step:
            active += 1
        for i in range(active):
            row = first[i] + (lengths[i] - 1 - step if backwards else step)
            g, h, d, c, of_x, of_u = gates[row], before[row], toward[row], carried[i], of_inputs[row], of_gates[i]
            r, z, n, product = g[:size], g[size : 2 * size], g[2 * size : 3 * size], g[3 * size :]
            of_r, of_z, of_n = of_x[:size], of_x[size : 2 * size], of_x[2 * size :]
            for k in range(size):
                c[k] += d[k]
                of_n[k] = c[k] * (one - z[k]) * (one - n[k] * n[k])
            for k in range(size):
                of_z[k] = c[k] * (h[k] - n[k]) * z[k] * (one - z[k])
                c[k] *= z[k]
            for k in range(size):
                of_r[k] = of_n[k] * product[k] * r[k] * (one - r[k])
            of_u[:] = of_x
            of_u[2 * size :] *= r
            of_products[row] = of_u
        _product(to_state, of_gates[:active], buffer, onward)
        carried[:active] += onward[:active]


@_arithmetic
def _product(matrix, rows, buffer, into):
    """Fills the first rows with the products of a large matrix and each of a few rows: faster so than the other way."""
    found = buffer[: len(matrix) * len(rows)].reshape(len(matrix), len(rows))
    np.dot(matrix, rows.T, found)
    for i in range(len(rows)):
        for k in range(len(matrix)):
            into[i, k] = found[k, i]


@_arithmetic
def _tanh(x):
    """The hyperbolic tangent, to a relative 3e-7, by operations that processors do for many numbers at once.

    x P(x^2) / Q(x^2), fitted to the least greatest relative error over -8 to 8, behind which float32 has 1.
    """
    x = min(max(x, np.float32(-8.0)), np.float32(8.0))
    s = x * x
    p = np.float32(1.523024195648759e-08)
    p = p * s + np.float32(2.1894538804190233e-05)
    p = p * s + np.float32(0.003571590641513467)
    p = p * s + np.float32(0.134444922208786)
    p = p * s + np.float32(1.0)
    q = np.float32(8.522376333530701e-07)
    q = q * s + np.float32(0.00034112800494767725)
    q = q * s + np.float32(0.02616441436111927)
    q = q * s + np.float32(0.46777820587158203)
    q = q * s + np.float32(1.0)
    return x * p / q
