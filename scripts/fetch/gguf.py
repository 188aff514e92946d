"""GGUF, the file format of llama.cpp, read with the standard library alone.

A file is a header, a table of key-value pairs, a table of tensors, padding, and the tensors' bytes; everything is
little-endian (the format's specification is docs/gguf.md in the repository of ggml). Quantised tensors are blocks of 32
numbers with a scale of their own; the two block formats that are read here are turned back into f32 exactly as ggml
does, so that the f32 tensors *are* the model and not one more rounding of it.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

MAGIC = b"GGUF"
VERSIONS = (2, 3)

# Value types of the key-value table.
SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9

# Tensor types by ggml's numbers: numbers in a block, bytes of a block.
F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8
NAMES = {F32: "F32", F16: "F16", Q4_1: "Q4_1", Q8_0: "Q8_0"}
BLOCKS = {F32: (1, 4), F16: (1, 2), Q4_1: (32, 20), Q8_0: (32, 34)}

LOW_HALF = bytes(byte & 15 for byte in range(256))
HIGH_HALF = bytes(byte >> 4 for byte in range(256))


class GgufError(Exception):
    """A file that is not GGUF, is cut short, or holds what is not read here."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file. GGUF lists dimensions fastest first; `shape` has the fastest last, as numpy and torch do."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: memoryview

    def values(self) -> array:
        """All numbers as f32, row after row."""
        return DEQUANTISERS[self.kind](self.data)


@dataclass(frozen=True)
class Gguf:
    """A file's key-value table and its tensors by name."""

    metadata: dict
    tensors: dict[str, Tensor]


def read(content: bytes) -> Gguf:
    """Reads a whole file's content; tensors stay as they are until their values are asked for."""
    reader = Reader(memoryview(content))
    if bytes(reader.take(4)) != MAGIC:
        raise GgufError("not a GGUF file: it does not begin with `GGUF`")
    version = reader.scalar("<I")
    if version not in VERSIONS:
        raise GgufError(f"GGUF version {version}, versions 2 and 3 are read")
    tensor_count, pair_count = reader.scalar("<Q"), reader.scalar("<Q")
    metadata = {}
    for _ in range(pair_count):
        key = reader.string()
        metadata[key] = reader.value(reader.scalar("<I"))
    headers = [reader.tensor_header() for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    start = -(-reader.position // alignment) * alignment
    tensors = {}
    for name, shape, kind, offset in headers:
        if kind not in BLOCKS:
            known = ", ".join(NAMES.values())
            raise GgufError(f"tensor `{name}` has ggml's type {kind}; read are {known}")
        numbers, size = BLOCKS[kind]
        # A block never crosses the end of a row.
        if not shape or shape[-1] % numbers:
            raise GgufError(f"tensor `{name}` of shape {shape} does not consist of {NAMES[kind]} blocks of {numbers}")
        if name in tensors:
            raise GgufError(f"tensor `{name}` is listed twice")
        length = product(shape) // numbers * size
        tensors[name] = Tensor(name, shape, kind, reader.window(start + offset, length, f"tensor `{name}`"))
    return Gguf(metadata, tensors)


class Reader:
    """A position in a file's content."""

    def __init__(self, content: memoryview):
        self.content = content
        self.position = 0

    def window(self, start: int, length: int, what: str) -> memoryview:
        if start + length > len(self.content):
            raise GgufError(f"the file is cut short: {what} needs bytes {start}..{start + length}, "
                            f"the file has {len(self.content)}")
        return self.content[start:start + length]

    def take(self, length: int) -> memoryview:
        taken = self.window(self.position, length, "its header")
        self.position += length
        return taken

    def scalar(self, form: str):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        return bytes(self.take(self.scalar("<Q"))).decode("utf-8")

    def value(self, kind: int):
        if kind in SCALARS:
            return self.scalar(SCALARS[kind])
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, length = self.scalar("<I"), self.scalar("<Q")
            return [self.value(inner) for _ in range(length)]
        raise GgufError(f"a value of type {kind}, which GGUF does not have")

    def tensor_header(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.string()
        dimensions = [self.scalar("<Q") for _ in range(self.scalar("<I"))]
        return name, tuple(reversed(dimensions)), self.scalar("<I"), self.scalar("<Q")


def product(shape: tuple[int, ...]) -> int:
    """The number of entries of a tensor."""
    count = 1
    for size in shape:
        count *= size
    return count


def from_f32(data: memoryview) -> array:
    return array("f", struct.unpack(f"<{len(data) // 4}f", data))


def from_f16(data: memoryview) -> array:
    return array("f", struct.unpack(f"<{len(data) // 2}e", data))


def from_q4_1(data: memoryview) -> array:
    """Blocks of a scale d and a minimum m, both f16, and 16 bytes: number j is `d * low half of byte j + m`, number
    16 + j `d * high half of byte j + m`.

    The products are exact; the sum is rounded once, when it becomes an f32."""
    values = array("f")
    for scale, minimum, halves in struct.iter_unpack("<ee16s", data):
        levels = [scale * quantum + minimum for quantum in range(16)]
        values.extend(map(levels.__getitem__, halves.translate(LOW_HALF) + halves.translate(HIGH_HALF)))
    return values


def from_q8_0(data: memoryview) -> array:
    """Blocks of a scale d, f16, and 32 signed bytes q: the numbers are `d * q`, exactly."""
    values = array("f")
    for scale, *quanta in struct.iter_unpack("<e32b", data):
        values.extend([scale * quantum for quantum in quanta])
    return values


DEQUANTISERS = {F32: from_f32, F16: from_f16, Q4_1: from_q4_1, Q8_0: from_q8_0}
