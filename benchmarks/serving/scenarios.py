"""The scenarios: who asks what, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.serving.prompts import chat_body, prose, short_request, story_request
from benchmarks.serving.workload import HangUp, Shot

INTRUDER_LANE = 4
_INTRUDER_WORDS = 1845  # 2,000 tokens of SmolLM2's, with the chat template around them


@dataclass(frozen=True, slots=True)
class Scenario:
    """One named load; `shots` draws its requests from a seeded generator."""

    name: str
    description: str
    shots: Callable[[Random], tuple[Shot, ...]]


def _story(random: Random, lane: int, tokens: int) -> Shot:
    # A system message of its own, so that not even the chat template's default is shared.
    body = chat_body(
        system=f"You are writer {random.randrange(1000)}.",
        user=story_request(random),
        max_tokens=tokens,
        seed=random.randrange(2**31),
    )
    return Shot(lane, body)


def _different(random: Random, *, clients: int, each: int, tokens: int) -> tuple[Shot, ...]:
    return tuple(_story(random, lane, tokens) for lane in range(clients) for _ in range(each))


def _shared(random: Random, *, clients: int, each: int, tokens: int) -> tuple[Shot, ...]:
    system = prose(random, 600)
    return tuple(
        Shot(
            lane,
            chat_body(
                system=system,
                user=short_request(random),
                max_tokens=tokens,
                seed=random.randrange(2**31),
            ),
        )
        for lane in range(clients)
        for _ in range(each)
    )


def _intrusion(random: Random) -> tuple[Shot, ...]:
    streams = tuple(_story(random, lane, 256) for lane in range(INTRUDER_LANE))
    body = chat_body(
        system=None, user=prose(random, _INTRUDER_WORDS), max_tokens=16, seed=random.randrange(2**31)
    )
    return (*streams, Shot(INTRUDER_LANE, body, after_streams=INTRUDER_LANE))


def churn_shots(random: Random, connects: int) -> tuple[Shot, ...]:
    """Connects that leave at random moments, over 16 lanes; one in ten stays to the end."""
    return tuple(_churning(random, index % 16) for index in range(connects))


def _churning(random: Random, lane: int) -> Shot:
    body = chat_body(
        system=prose(random, 60) if random.random() < 0.3 else None,
        user=short_request(random),
        max_tokens=24,
        seed=random.randrange(2**31),
    )
    reset = random.random() < 0.5
    match random.randrange(10):
        case 0:
            hang_up = None
        case 1:  # connected, silent
            hang_up = HangUp(send_fraction=0, seconds=random.uniform(0, 0.02), reset=reset)
        case 2 | 3:  # in the headers or in the body
            hang_up = HangUp(
                send_fraction=random.uniform(0, 0.99), seconds=random.uniform(0, 0.02), reset=reset
            )
        case 4 | 5 | 6:  # queued or in prefill, mostly
            hang_up = HangUp(seconds=random.uniform(0, 0.5), reset=reset)
        case _:  # in the middle of the stream
            hang_up = HangUp(segments=random.randint(1, 16), reset=reset)
    return Shot(lane, body, hang_up=hang_up)


SCENARIOS = (
    Scenario(
        "single-64",
        "1 client, 8 requests of 64 tokens one after another",
        partial(_different, clients=1, each=8, tokens=64),
    ),
    Scenario(
        "single-256",
        "1 client, 3 requests of 256 tokens one after another",
        partial(_different, clients=1, each=3, tokens=256),
    ),
    *(
        Scenario(
            f"many-{clients}",
            f"{clients} clients, different prompts, 4 requests of 64 tokens each",
            partial(_different, clients=clients, each=4, tokens=64),
        )
        for clients in (4, 8, 16)
    ),
    *(
        Scenario(
            f"long-{clients}",
            f"{clients} clients, different prompts, one request of 256 tokens each",
            partial(_different, clients=clients, each=1, tokens=256),
        )
        for clients in (4, 8, 16)
    ),
    Scenario(
        "shared",
        "8 clients, one 600-word system prompt, 4 requests of 64 tokens each",
        partial(_shared, clients=8, each=4, tokens=64),
    ),
    Scenario(
        "intrusion",
        "4 clients stream 256 tokens; once all stream, a 2,000-token prompt arrives",
        _intrusion,
    ),
)
