"""Models and tokenizers out of package registries, in the layout of Hugging Face: what `scripts/fetch-*` are made of.

Tests: `python3 -m unittest discover scripts/fetch --top-level-directory scripts`.
"""
