"""What is known of declared files without touching them; apart from `modelfile`, so that it imports fast."""

from __future__ import annotations

from genesis_stack.layout import Layout
from genesis_stack.modelstore.facts import load_cached
from genesis_stack.modelstore.known import KNOWN
from genesis_stack.modelstore.memory import Shape
from genesis_stack.modelstore.store import Store
from genesis_stack.spec.model import Weights


def shape(weights: Weights, layout: Layout) -> Shape | None:
    """Facts of a file in the store, else an estimate for a well-known digest, else None."""
    cached = load_cached(Store(layout.models).facts(weights.sha256))
    if cached is not None:
        return Shape(cached, estimated=False)
    known = KNOWN.get(weights.sha256)
    return None if known is None else Shape(known, estimated=True)
