"""What users ask: the body of each request follows from its target and number alone."""

from __future__ import annotations

import base64
import io
import random
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from genesis_stack.loadtest.setting import Target

TOKENS_PER_WORD: Final = 2
"""Rounded up: the words below take about 1.3 tokens each in common vocabularies."""
TEMPLATE_TOKENS: Final = 128
"""Room for the chat template and the question."""
LONGEST_TEXT: Final = 1200
"""Words; a longer text takes minutes to read on a small machine."""
SHARED_WORDS: Final = 400
PASSAGE_WORDS: Final = 60
"""Of a text that becomes a vector or is ranked."""
PASSAGES: Final = 8
"""Of one ranking."""

_SUBJECTS: Final = ("server", "log", "backup", "network", "disk", "kernel", "queue", "certificate", "mirror")
_VERBS: Final = ("reports", "repeats", "delays", "checks", "stores", "forwards", "rejects", "measures")
_OBJECTS: Final = ("a request", "the archive", "an answer", "every packet", "a checksum", "the schedule")
_PEOPLE: Final = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald")
_CITIES: Final = ("Lisbon", "Oslo", "Quito", "Kyoto", "Nairobi", "Riga")
_SCHEMA: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "city": {"enum": list(_CITIES)}, "age": {"type": "integer"}},
    "required": ["name", "city", "age"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: its path and body, and whether the answer is streamed."""

    path: str
    body: dict[str, Any]

    @property
    def streams(self) -> bool:
        """Whether the answer comes piece by piece."""
        return bool(self.body.get("stream"))


def ask(target: Target, number: int) -> Ask:  # noqa: PLR0911 -- one return a task
    """Request `number` to a target."""
    chance = random.Random(f"{target.model} {target.task} {number}")  # noqa: S311 -- prompts, not keys
    question = f"Question {number}: in a few sentences, why does a {chance.choice(_SUBJECTS)} fail?"
    match target.task:
        case "chat":
            return _chat(target, number, _user(question))
        case "stream":
            return _chat(target, number, _user(question), stream=True)
        case "completion":
            body = {"model": target.model, "prompt": _text(chance, 30), **_sampling(target, number)}
            return Ask("/v1/completions", body | _STREAM)
        case "shared_prefix":
            rules = _text(random.Random(0), min(SHARED_WORDS, _room(target)))  # noqa: S311 -- one for all
            system = {"role": "system", "content": f"You are an agent. Facts: {rules}"}
            return _chat(target, number, system, _user(question), stream=True)
        case "long_prompt":
            text = f"Document {number}. {_text(chance, _room(target))}"
            return _chat(target, number, _user(f"Summarise in two sentences.\n\n{text}"), stream=True)
        case "extraction":
            who, where, age = chance.choice(_PEOPLE), chance.choice(_CITIES), chance.randrange(20, 90)
            schema = {"name": "person", "strict": True, "schema": _SCHEMA}
            asked = _user(f"Extract as JSON: {who}, who is {age}, lives in {where}.")
            form = {"response_format": {"type": "json_schema", "json_schema": schema}}
            answered = _chat(target, number, asked)
            return Ask(answered.path, answered.body | form)
        case "vision":
            image = {"type": "image_url", "image_url": {"url": _image(number % 8)}}
            words = {"type": "text", "text": f"Question {number}: which colours do you see?"}
            return _chat(target, number, {"role": "user", "content": [image, words]}, stream=True)
        case "embedding":
            return Ask("/v1/embeddings", {"model": target.model, "input": _text(chance, _passage(target))})
        case "rerank":
            texts = [_text(chance, _passage(target)) for _ in range(PASSAGES)]
            query = f"Why does a {chance.choice(_SUBJECTS)} fail?"
            return Ask("/v1/rerank", {"model": target.model, "query": query, "documents": texts})


_STREAM: Final[dict[str, Any]] = {"stream": True, "stream_options": {"include_usage": True}}


def _chat(target: Target, number: int, *messages: dict[str, Any], stream: bool = False) -> Ask:
    body = {"model": target.model, "messages": list(messages), **_sampling(target, number)}
    return Ask("/v1/chat/completions", body | (_STREAM if stream else {}))


def _sampling(target: Target, number: int) -> dict[str, Any]:
    return {"max_tokens": target.max_tokens, "temperature": 0.7, "seed": number}


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _room(target: Target) -> int:
    """Words of a text that fits the context beside the answer."""
    tokens = target.context - target.max_tokens - TEMPLATE_TOKENS
    return max(16, min(LONGEST_TEXT, tokens // TOKENS_PER_WORD))


def _passage(target: Target) -> int:
    """Words of a text that fits the context, also beside a query."""
    return max(4, min(PASSAGE_WORDS, target.context // (2 * TOKENS_PER_WORD)))


def _text(chance: random.Random, words: int) -> str:
    """About that many words, in sentences."""
    sentences: list[str] = []
    written = 0
    while written < words:
        sentence = f"The {chance.choice(_SUBJECTS)} {chance.choice(_VERBS)} {chance.choice(_OBJECTS)}."
        written += len(sentence.split())
        sentences.append(sentence)
    return " ".join(sentences)


@cache
def _image(number: int) -> str:
    """A picture of two colours as a data URL."""
    from PIL import Image

    chance = random.Random(number)  # noqa: S311 -- a colour
    left, right = (tuple(chance.randrange(256) for _ in range(3)) for _ in range(2))
    picture = Image.new("RGB", (256, 256), left)
    picture.paste(right, (128, 0, 256, 256))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
