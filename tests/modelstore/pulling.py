"""A program that gets one model file into a store; its arguments: source, digest and root."""

from __future__ import annotations

PULL = """
import sys
from pathlib import Path
from genesis_stack.layout import Layout
from genesis_stack.modelstore.modelfile import ensure
from genesis_stack.spec.model import Weights
weights = Weights.model_construct(source=sys.argv[1], sha256=sys.argv[2], revision=None, size=None)
ensure(weights, Layout.under(Path(sys.argv[3])))
"""
