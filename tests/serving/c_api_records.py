"""Protocol buffers and TFRecords read without TensorFlow and its protos: as much of them as warm-up records use."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

STRING = 7
_DTYPES = {1: "float32", 3: "int32", 4: "uint8", 6: "int8", 9: "int64", 10: "bool", 2: "float64"}
_NUMBERS = {np.dtype(name): number for number, name in _DTYPES.items()} | {np.dtype(object): STRING}


def dtype_number(dtype: np.dtype) -> int:
    """Return TensorFlow's number of a type; bytes are of dtype object."""
    return _NUMBERS[dtype]


def dtype_of(number: int) -> np.dtype:
    """Return the type with that number, other than STRING."""
    return np.dtype(_DTYPES[number])


@dataclass(frozen=True)
class Request:
    """What a warm-up record asks."""

    model_name: str
    signature: str
    inputs: dict[str, np.ndarray]


def read_requests(path: Path) -> Iterator[Request]:
    """Yield the requests of a file of warm-up records.

    Source: a TFRecord is the length as uint64, its checksum, the content and its checksum.
    """
    data, start = path.read_bytes(), 0
    while start < len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        content = data[start + 12 : start + 12 + length]
        assert len(content) == length, "the file ends in the middle of a record"
        yield _request(content)
        start += 12 + length + 4


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield number and value of each field of a serialized message: bytes, or an int for numbers."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
        elif kind == 2:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, place = message[place : place + size], place + size
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, value


def strings_of(entry: bytes) -> tuple[bytes, bytes]:
    """Return key and value of an entry of a map of strings to messages."""
    pair = dict(fields(entry))
    return pair[1], pair.get(2, b"")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place


def _request(log: bytes) -> Request:
    predict_log = dict(fields(log))[6]
    request = dict(fields(predict_log))[1]
    spec: dict[int, bytes] = {}
    inputs = {}
    for number, value in fields(request):
        if number == 1:
            spec = dict(fields(value))
        elif number == 2:
            name, tensor = strings_of(value)
            inputs[name.decode()] = _tensor(tensor)
    return Request(spec[1].decode(), spec[3].decode(), inputs)


def _tensor(message: bytes) -> np.ndarray:
    kind, shape, texts, numbers, content = 0, (), [], [], b""
    for number, value in fields(message):
        if number == 1:
            kind = value
        elif number == 2:
            shape = tuple(dict(fields(dim)).get(1, 0) for n, dim in fields(value) if n == 2)
        elif number == 4:
            content = value
        elif number == 8:
            texts.append(value)
        elif number in (7, 11):  # int_val and bool_val, packed
            place = 0
            while place < len(value):
                one, place = _varint(value, place)
                numbers.append(one)
    if kind == STRING:
        array = np.empty(len(texts), object)
        array[:] = texts
        return array.reshape(shape)
    if content:
        return np.frombuffer(content, dtype_of(kind)).reshape(shape)
    # Fewer values than places: the last one stands for the rest.
    count = int(np.prod(shape))
    numbers += numbers[-1:] * (count - len(numbers))
    return np.array(numbers, dtype_of(kind)).reshape(shape)
