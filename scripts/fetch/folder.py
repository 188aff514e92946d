"""A folder of files with known hashes: complete, or made anew beside it and moved into place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable

from .package import check, sha256_of_file


def incomplete(folder: Path, hashes: dict[str, str]) -> list[str]:
    """The files that are absent or have another hash."""
    return [name for name, required in hashes.items()
            if not (folder / name).is_file() or sha256_of_file(folder / name) != required]


def fill(folder: Path, hashes: dict[str, str], make: Callable[[Path], None]) -> bool:
    """Has `make` write all files into a folder beside `folder`, checks their hashes, and moves them.

    Returns whether that was necessary. Other files of `folder` stay, and files with the right hash are left alone.

    A file appears under its own name only when it is complete: an interruption leaves the folder as it was, or with
    some of its files in place, and a folder `NAME.partial` that the next call clears away."""
    wrong = incomplete(folder, hashes)
    if not wrong:
        return False
    partial = folder.parent / f"{folder.name}.partial"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        make(partial)
        for name, required in hashes.items():
            check(f"{name}, as made here,", sha256_of_file(partial / name), required)
        folder.mkdir(exist_ok=True)
        for name in wrong:
            os.replace(partial / name, folder / name)
    finally:
        shutil.rmtree(partial)
    return True
