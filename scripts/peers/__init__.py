"""Measures the libraries that one would use instead of this engine, and the engine, alike on one machine."""
