"""Writing safetensors: the length of a JSON header, the header, and the tensors' bytes without gaps."""

from __future__ import annotations

import json
import struct
import sys
from array import array
from pathlib import Path
from typing import Callable


def write_f32(path: Path, shapes: dict[str, tuple[int, ...]], values: Callable[[str], array]) -> None:
    """Writes f32 tensors of these shapes, sorted by name. The same tensors give the same bytes.

    `values` makes a tensor when its turn has come, so that a model need not be in memory."""
    header, position = {}, 0
    for name in sorted(shapes):
        count = 1
        for size in shapes[name]:
            count *= size
        header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [position, position + 4 * count]}
        position += 4 * count
    text = json.dumps(header, separators=(",", ":")).encode()
    # Tensors begin at multiples of eight bytes.
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in sorted(shapes):
            tensor = values(name)
            begin, end = header[name]["data_offsets"]
            if tensor.typecode != "f" or 4 * len(tensor) != end - begin:
                raise ValueError(f"tensor `{name}`: {len(tensor)} numbers of type {tensor.typecode}, "
                                 f"required: {(end - begin) // 4} of type f")
            if sys.byteorder == "big":
                tensor.byteswap()
            file.write(tensor.tobytes())
