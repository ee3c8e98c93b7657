"""Seeded prompts in plain English: long enough to measure, different enough to share nothing."""

from __future__ import annotations

import json
from random import Random

_PEOPLE = (
    "farmer",
    "sailor",
    "teacher",
    "doctor",
    "baker",
    "pilot",
    "writer",
    "singer",
    "hunter",
    "painter",
    "captain",
    "lawyer",
)
_PLACES = (
    "village",
    "harbour",
    "forest",
    "market",
    "castle",
    "station",
    "garden",
    "mountain",
    "island",
    "library",
    "river",
    "desert",
)
_THINGS = (
    "letter",
    "lamp",
    "book",
    "clock",
    "boat",
    "ring",
    "map",
    "horse",
    "bread",
    "stone",
    "table",
    "picture",
    "box",
    "coat",
    "key",
    "song",
)
_DEEDS = (
    "found",
    "lost",
    "sold",
    "carried",
    "painted",
    "hid",
    "broke",
    "washed",
    "studied",
    "remembered",
    "wanted",
    "offered",
    "built",
)
_TIMES = ("morning", "evening", "winter", "summer", "night", "week", "year", "autumn", "spring", "afternoon")


def sentence(random: Random) -> str:
    """Some twenty common words."""
    return (
        f"Every {random.choice(_TIMES)} the old {random.choice(_PEOPLE)} of the {random.choice(_PLACES)} "
        f"{random.choice(_DEEDS)} a {random.choice(_THINGS)} and the {random.choice(_PEOPLE)} "
        f"{random.choice(_DEEDS)} it again"
    )


def prose(random: Random, words: int) -> str:
    """Sentences of at least `words` words in all."""
    sentences: list[str] = []
    while sum(len(one.split()) for one in sentences) < words:
        sentences.append(sentence(random) + ".")
    return " ".join(sentences)


def story_request(random: Random) -> str:
    """A question of about 40 words whose answer is long by itself."""
    return (
        f"{sentence(random)}. Continue this as a very long story about the {random.choice(_PEOPLE)}, "
        f"the {random.choice(_PEOPLE)} and the {random.choice(_THINGS)}, with many details."
    )


def short_request(random: Random) -> str:
    """A question of about 25 words."""
    return f"Tell me at length about this: {sentence(random)}."


def chat_body(*, system: str | None, user: str, max_tokens: int, seed: int) -> str:
    """A streamed chat request as JSON: greedy, with usage, and of exactly `max_tokens` where that is known.

    `ignore_eos` is an extension of llama-server's that ours shares; other servers ignore the field.
    """
    messages = [{"role": "user", "content": user}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return json.dumps(
        {
            "model": "benchmark",
            "messages": messages,
            "max_tokens": max_tokens,
            "temperature": 0,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        }
    )
