"""Earlier answers, kept to stand in when every model is unavailable."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import replace

from pydantic_core import to_json

from genesis_stack.client.dispatch import Order
from genesis_stack.client.results import Completion


class Answers:
    """The last `most` answers by what was asked; none are kept where `most` is 0."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Completion] = OrderedDict()

    def keep(self, order: Order, completion: Completion) -> None:
        """Remember a real answer; the oldest one makes room."""
        if not self._most or completion.degraded is not None:
            return
        self._kept[_key(order)] = completion
        self._kept.move_to_end(_key(order))
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def earlier(self, order: Order) -> Completion | None:
        """The answer to the very same question, marked as degraded."""
        completion = self._kept.get(_key(order)) if self._most else None
        if completion is None:
            return None
        return replace(completion, origin=replace(completion.origin, degraded="cached"))


def _key(order: Order) -> bytes:
    route = order.route
    asked = [order.path, route.model, route.task, route.tags, order.body]
    return hashlib.sha256(to_json(asked)).digest()
