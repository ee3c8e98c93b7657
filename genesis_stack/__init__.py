"""genesis-stack: one validated file, one command, and your own servers run language models."""

__version__ = "0.1.0"
