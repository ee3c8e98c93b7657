"""Looks at a request before the engine hears of it: bounds first, then the injection score."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from genesis_stack.protocol.serve_config import GuardConfig, GuardPolicy
from genesis_stack.server.errors import HttpError, bad_request
from genesis_stack.server.exchange import Exchange
from genesis_stack.server.guard.image import ImageError, pixels
from genesis_stack.server.guard.passage import Passage, Prompting
from genesis_stack.server.guard.patterns import THRESHOLD, VERSION
from genesis_stack.server.guard.scoring import Score, highest, score
from genesis_stack.server.guard.verdict import Outcome, Verdict

LONG_TEXT: Final = 16_384
"""Characters from which scoring moves to a thread, so that others' streams do not wait for it."""


async def inspect(request: Prompting, config: GuardConfig, exchange: Exchange) -> None:
    """Refuse what is over a bound; score the rest by the client's policy and leave the verdict in `exchange`.

    A conversation scores as its worst message does, so that it does not become suspicious by being long.

    Raises HttpError: 413 for a prompt beyond the limit, 400 for an image that is not taken and for a prompt
    that the policy blocks.
    """
    passages = list(request.passages())
    _check_size(passages, config.max_prompt_bytes)
    _check_images(request, config)
    policy = config.policy if exchange.policy is None else exchange.policy.guard
    if policy == "off":
        return
    texts = [passage.text for passage in passages if not passage.trusted]
    if sum(map(len, texts)) > LONG_TEXT:
        found = await asyncio.to_thread(_highest, texts)
    else:
        found = _highest(texts)
    exchange.guard = _verdict(found, policy)
    if exchange.guard.outcome == "blocked":
        raise bad_request(
            "The prompt looks like an attempt to take the model over, and this server does not take those.",
            code="guard_blocked",
        )


def _verdict(found: Score, policy: GuardPolicy) -> Verdict:
    suspicious = found.value >= THRESHOLD
    outcome: Outcome = "clean"
    if suspicious:
        outcome = "blocked" if policy == "block" else "flagged"
    return Verdict(outcome, found.value, found.families, VERSION)


def _highest(texts: Sequence[str]) -> Score:
    return highest(score(text) for text in texts)


def _check_size(passages: Sequence[Passage], limit: int) -> None:
    """A character has up to four bytes: texts that fit even then need no encoding to be measured."""
    if 4 * sum(len(passage.text) for passage in passages) <= limit:
        return
    total = 0
    for passage in passages:
        total += len(passage.text.encode("utf-8", "replace"))
        if total > limit:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{passage.param}: the prompt is larger than the {limit} bytes of text that are taken.",
                code="prompt_too_large",
                param=passage.param,
            )


def _check_images(request: Prompting, config: GuardConfig) -> None:
    for number, (param, url) in enumerate(request.images(), 1):
        if number > config.max_images:
            raise bad_request(f"{param}: at most {config.max_images} images are taken.", param=param)
        try:
            found = pixels(url)
        except ImageError as exc:
            raise bad_request(f"{param}: {exc}.", param=param) from None
        if found > config.max_pixels:
            raise bad_request(
                f"{param}: the image has {found} pixels; {config.max_pixels} are taken.", param=param
            )
