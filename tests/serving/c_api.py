"""A SavedModel through TensorFlow's C API, by ctypes: the loader of TensorFlow Serving, and no `import tensorflow`.

`TF_LoadSessionFromSavedModel` of the wheel's libtensorflow_cc wraps what the server loads a version with, and
`TF_SessionRun` the session that answers its requests.
"""

from __future__ import annotations

import ctypes
import importlib.util
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.serving.c_api_records import STRING, dtype_number, dtype_of, fields, strings_of

STRING_BYTES = 24
"""sizeof(TF_TString)."""

Value = np.ndarray
"""A tensor: an array of numbers or bools, or of dtype object with bytes."""


class RunError(Exception):
    """TensorFlow refused a request; `code` is its status code, 3 for INVALID_ARGUMENT."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Signature:
    """Names and tensors of one SignatureDef."""

    inputs: dict[str, str]
    outputs: dict[str, str]


class _Buffer(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


class _Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


def _library() -> ctypes.CDLL:
    package = importlib.util.find_spec("tensorflow")  # finds it, does not import it
    assert package
    assert package.submodule_search_locations
    return ctypes.CDLL(str(Path(package.submodule_search_locations[0]) / "libtensorflow_cc.so.2"))


_POINTERS = (
    "TF_AllocateTensor",
    "TF_GraphOperationByName",
    "TF_LoadSessionFromSavedModel",
    "TF_NewBuffer",
    "TF_NewGraph",
    "TF_NewSessionOptions",
    "TF_NewStatus",
    "TF_StringGetDataPointer",
    "TF_TensorData",
)
"""Functions that return a pointer, which ctypes would cut to 32 bits."""


class Session:
    """A loaded SavedModel.

    Args:
        folder: of one version.
    """

    def __init__(self, folder: Path) -> None:
        self._lib = lib = _library()
        for name in _POINTERS:
            getattr(lib, name).restype = c_void_p
        lib.TF_Message.restype = c_char_p
        lib.TF_Dim.restype = c_int64
        lib.TF_StringGetSize.restype = c_size_t
        self._status = c_void_p(lib.TF_NewStatus())
        self._graph = c_void_p(lib.TF_NewGraph())
        options = c_void_p(lib.TF_NewSessionOptions())
        meta = ctypes.cast(c_void_p(lib.TF_NewBuffer()), POINTER(_Buffer))
        tags = (c_char_p * 1)(b"serve")
        self._session = c_void_p(
            lib.TF_LoadSessionFromSavedModel(
                options, None, str(folder).encode(), tags, c_int(1), self._graph, meta, self._status
            )
        )
        self._check()
        self.signatures = _signatures(ctypes.string_at(meta.contents.data, meta.contents.length))
        lib.TF_DeleteBuffer(meta)
        lib.TF_DeleteSessionOptions(options)

    def run(self, signature: str, inputs: dict[str, Value]) -> dict[str, Value]:
        """Answer a request, all outputs of the signature.

        Args:
            signature: its name.
            inputs: by name; what is missing is missing in the graph, too.

        Raises:
            RunError: if TensorFlow refuses it.
        """
        declared = self.signatures[signature]
        lib, names = self._lib, sorted(declared.outputs)
        tensors = [self._tensor(value) for value in inputs.values()]
        results = (c_void_p * len(names))()
        try:
            lib.TF_SessionRun(
                self._session,
                None,
                self._places([declared.inputs[name] for name in inputs]),
                (c_void_p * len(tensors))(*tensors),
                c_int(len(tensors)),
                self._places([declared.outputs[name] for name in names]),
                results,
                c_int(len(names)),
                None,
                c_int(0),
                None,
                self._status,
            )
            self._check()
            return {name: self._array(c_void_p(result)) for name, result in zip(names, results, strict=True)}
        finally:
            for tensor, value in zip(tensors, inputs.values(), strict=True):
                self._free(tensor, strings=value.size if value.dtype == object else 0)
            for result in filter(None, results):
                lib.TF_DeleteTensor(c_void_p(result))

    def _check(self) -> None:
        code = self._lib.TF_GetCode(self._status)
        if code:
            raise RunError(code, self._lib.TF_Message(self._status).decode(errors="replace"))

    def _places(self, tensor_names: list[str]) -> ctypes.Array[_Output]:
        found = []
        for name in tensor_names:
            operation, _, index = name.rpartition(":")
            pointer = self._lib.TF_GraphOperationByName(self._graph, operation.encode())
            assert pointer, name
            found.append(_Output(pointer, int(index)))
        return (_Output * len(found))(*found)

    def _tensor(self, value: Value) -> c_void_p:
        is_text = value.dtype == object
        size = value.size * STRING_BYTES if is_text else value.nbytes
        shape = (c_int64 * value.ndim)(*value.shape)
        number = dtype_number(value.dtype)
        tensor = c_void_p(self._lib.TF_AllocateTensor(c_int(number), shape, c_int(value.ndim), c_size_t(size)))
        assert tensor
        data = self._lib.TF_TensorData(tensor)
        if is_text:
            for place, text in enumerate(value.flat):
                string = c_void_p(data + STRING_BYTES * place)
                self._lib.TF_StringInit(string)
                self._lib.TF_StringCopy(string, c_char_p(text), c_size_t(len(text)))
        elif value.size:
            ctypes.memmove(c_void_p(data), np.ascontiguousarray(value).ctypes.data_as(c_void_p), value.nbytes)
        return tensor

    def _free(self, tensor: c_void_p, *, strings: int) -> None:
        # TF_AllocateTensor does not know that its bytes are strings, so what they own is ours to free.
        data = self._lib.TF_TensorData(tensor)
        for place in range(strings):
            self._lib.TF_StringDealloc(c_void_p(data + STRING_BYTES * place))
        self._lib.TF_DeleteTensor(tensor)

    def _array(self, tensor: c_void_p) -> Value:
        lib = self._lib
        shape = tuple(lib.TF_Dim(tensor, c_int(axis)) for axis in range(lib.TF_NumDims(tensor)))
        number, data, count = lib.TF_TensorType(tensor), lib.TF_TensorData(tensor), int(np.prod(shape))
        if number == STRING:
            texts = [c_void_p(data + STRING_BYTES * place) for place in range(count)]
            found = np.empty(count, object)
            found[:] = [ctypes.string_at(lib.TF_StringGetDataPointer(t), lib.TF_StringGetSize(t)) for t in texts]
            return found.reshape(shape)
        dtype = dtype_of(number)
        content = ctypes.string_at(data, count * dtype.itemsize) if count else b""
        return np.frombuffer(content, dtype).reshape(shape)


def _signatures(meta_graph: bytes) -> dict[str, Signature]:
    """Read the SignatureDefs of a MetaGraphDef."""
    found = {}
    for number, entry in fields(meta_graph):
        if number == 5:
            name, definition = strings_of(entry)
            sides: dict[int, dict[str, str]] = {1: {}, 2: {}}
            for side, pair in fields(definition):
                if side in sides:
                    key, info = strings_of(pair)
                    sides[side][key.decode()] = next(v.decode() for n, v in fields(info) if n == 1)
            found[name.decode()] = Signature(sides[1], sides[2])
    return found
