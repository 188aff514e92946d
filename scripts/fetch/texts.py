"""Texts as running prose, cut into one part to calibrate on and one that calibration does not see."""

from __future__ import annotations

import re


def paragraphs(text: str) -> list[str]:
    """Paragraphs without line breaks: what blank lines separate, with every run of white space a single space."""
    blocks = re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n"))
    joined = (" ".join(block.split()) for block in blocks)
    return [paragraph for paragraph in joined if paragraph]


def divided(text: str, share: float) -> tuple[str, str]:
    """The paragraphs that make up the first `share` of the characters, and the others, one to a line."""
    parts: tuple[list[str], list[str]] = ([], [])
    whole = paragraphs(text)
    limit = share * sum(map(len, whole))
    seen = 0
    for paragraph in whole:
        parts[seen >= limit].append(paragraph)
        seen += len(paragraph)
    return "\n".join(parts[0]) + "\n", "\n".join(parts[1]) + "\n"
