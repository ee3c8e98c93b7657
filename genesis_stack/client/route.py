"""Which models can take a request, and in which order they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from genesis_stack.client.config import Endpoint, Routing, Task
from genesis_stack.client.errors import ConfigurationError

Wanted = Task | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Route:
    """What a request needs: a model by name, or a task and tags; `images` need eyes."""

    model: str | None = None
    task: Wanted = "auto"
    tags: tuple[str, ...] = ()
    images: bool = False

    @property
    def needed(self) -> Task:
        """The task, with `auto` decided: images are for vision, everything else is text."""
        if self.task != "auto":
            return self.task
        return "vision" if self.images else "text"


def chain(route: Route, endpoints: Sequence[Endpoint], routing: Routing) -> tuple[str, ...]:
    """The models to ask, the best first; the rest are its fallbacks.

    A model that is named is asked, whatever its task. Otherwise the default model goes first if it fits,
    then the first one declared with the task and every tag.

    Raises:
        ConfigurationError: no model fits; the message names those there are.
    """
    known = list(dict.fromkeys(endpoint.model for endpoint in endpoints if endpoint.model is not None))
    first = route.model if route.model is not None else _fitting(route, endpoints, routing.default_model)
    if first is None or first not in known:
        raise ConfigurationError(_misfit(route, known), remedy="name one of them, or declare an endpoint")
    rest = routing.fallbacks.get(first, ())
    usable = [model for model in rest if model in known and _sees(model, route, endpoints)]
    return tuple(dict.fromkeys([first, *usable]))


def _fitting(route: Route, endpoints: Iterable[Endpoint], default: str | None) -> str | None:
    """A text model by preference; a vision model reads text too."""
    able = [
        endpoint
        for endpoint in endpoints
        if endpoint.model is not None
        and set(route.tags) <= set(endpoint.tags)
        and (endpoint.task == route.needed or (route.needed == "text" and endpoint.task == "vision"))
    ]
    able.sort(key=lambda endpoint: (endpoint.task != route.needed, endpoint.model != default))
    return able[0].model if able else None


def _sees(model: str, route: Route, endpoints: Iterable[Endpoint]) -> bool:
    return not route.images or any(
        endpoint.task == "vision" for endpoint in endpoints if endpoint.model == model
    )


def _misfit(route: Route, known: Sequence[str]) -> str:
    tags = f" with {', '.join(route.tags)}" if route.tags else ""
    asked = f"no endpoint serves {route.model!r}" if route.model else f"no {route.needed} model{tags}"
    return f"{asked}; there are {', '.join(known) or 'none'}"
