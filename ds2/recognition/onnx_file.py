"""What may stand in the file of a network: a look at the protocol buffer before ONNX Runtime sees it.

ONNX (onnx.proto3) allows weights in other files, operators that load libraries or run loops, and sizes that do not
fit the data; ONNX Runtime 1.32 reads other files even for a graph given as bytes, relative to the working directory.
A graph that `export.graph` has written has nothing of these, so all else is refused. This needs no package.
"""

import math
from collections.abc import Iterator
from mmap import mmap
from typing import Any

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Of each message the fields that may stand in it, by number: the message that a field holds, or None for a value.
_FIELDS: dict[str, dict[int, str | None]] = {
    "model": {1: None, 2: None, 3: None, 7: "graph", 8: "opset", 14: "pair"},
    "opset": {1: None, 2: None},
    "pair": {1: None, 2: None},
    "graph": {1: "node", 2: None, 5: "tensor", 11: "value", 12: "value"},
    "node": {1: None, 2: None, 3: None, 4: None, 5: "attribute"},
    "attribute": {1: None, 3: None, 4: None, 8: None, 20: None},
    "tensor": {1: None, 2: None, 8: None, 9: None},
    "value": {1: None, 2: None},
}
_OPERATOR, _DOMAIN, _DIMENSIONS, _TYPE, _DATA, _EXTERNAL = 4, 1, 1, 2, 9, (13, 14)
# Of TensorProto.DataType: float32, int32, int64, float16, with the bytes of a value.
_SIZES = {1: 4, 6: 4, 7: 8, 10: 2}
_OPERATORS = {"Add", "Cast", "Clip", "Conv", "Div", "GRU", "Gather", "Less", "LogSoftmax", "MatMul", "Max", "Mul"}
_OPERATORS |= {"Range", "Reshape", "Shape", "Sub", "Transpose", "Unsqueeze", "Where"}


class ForeignError(ValueError):
    """A file is not one that `export.graph` has written. The message says what is foreign in it."""


def check(data: bytes | mmap) -> int:
    """Checks the bytes of an ONNX file; returns how many values its weights have.

    Raises:
        ForeignError: there is something in it that `export.graph` does not write.
    """
    if not data:
        raise ForeignError("it is empty")
    return _message(memoryview(data), "model")


def _message(data: memoryview, kind: str) -> int:
    """The values of the weights within a message."""
    fields, count = _FIELDS[kind], 0
    found: list[tuple[int, Any]] = []
    for number, value in _parsed(data):
        if kind == "tensor" and number in _EXTERNAL:
            raise ForeignError("it has weights in another file")
        if number not in fields:
            raise ForeignError(f"field {number} of a {kind}")
        inner = fields[number]
        if inner is None:
            found.append((number, value))
        elif isinstance(value, int):
            raise ForeignError(f"field {number} of a {kind} is a number")
        else:
            count += _message(value, inner)
    if kind == "node":
        operator = b"".join(bytes(value) for number, value in found if number == _OPERATOR).decode(errors="replace")
        if operator not in _OPERATORS:
            raise ForeignError(f"the operator {operator[:40]}")
    if kind == "opset" and any(number == _DOMAIN and len(value) for number, value in found):
        raise ForeignError("operators of another domain")
    return count + _values(found) if kind == "tensor" else count


def _values(found: list[tuple[int, Any]]) -> int:
    """The values of a tensor, whose dimensions, type and data must fit together."""
    dimensions: list[int] = []
    for number, value in found:
        if number == _DIMENSIONS:  # one by one, or packed
            dimensions += [value] if isinstance(value, int) else _varints(value)
    types = [value for number, value in found if number == _TYPE]
    data = [value for number, value in found if number == _DATA]
    if len(types) != 1 or len(data) != 1 or types[0] not in _SIZES or isinstance(data[0], int):
        raise ForeignError("weights of a foreign type")
    count = math.prod(dimensions)
    if count * _SIZES[types[0]] != len(data[0]):
        raise ForeignError("weights whose shape does not fit their data")
    return count


def _parsed(data: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a message, in order: their numbers, and integers or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise ForeignError(f"a field of the number {number}")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ForeignError(f"a field of the wire type {wire}")
        if length > len(data) - at:
            raise ForeignError("it is cut short")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, in its one shortest form, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ForeignError("it is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (shift and not byte) or value >= 1 << 64:
                break
            return value, at
    raise ForeignError("an integer that is not written as it should be")


def _varints(data: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return found
