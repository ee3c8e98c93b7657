"""From symptoms to causes: pure, one function a cause, each with what it rests on and what heals it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Final, Literal

from genesis_stack.backends import Phase
from genesis_stack.doctor.symptoms import Patient, Symptoms

Cause = Literal[
    "model missing",
    "port taken",
    "disk full",
    "wrong CPU build",
    "out of memory",
    "permission denied",
    "clock skew",
    "connection refused",
    "drift",
    "rate limited",
    "slow",
]
"""In the order in which they are worth healing: one often explains those after it."""

APPLY: Final = "genesis-stack apply"
FULL_SHARE: Final = 0.05
FULL_BYTES: Final = 256 * 1024**2
"""Free room below which downloads, logs and databases are about to fail."""
THROTTLED: Final = 0.25
"""Share of the quota's periods in which a server was held back, from which on its clients notice."""
THROTTLED_SECONDS: Final = 2.0
"""Held back for less than that, it was its start, which may take all that it is given."""
SKEW_SECONDS: Final = 60.0

_OOM: Final = re.compile(r"oom-kill|OOM killer")
_ILLEGAL: Final = re.compile(r"status=4/ILL|Illegal instruction|signal SIGILL")
_DENIED: Final = re.compile(r"Permission denied|PermissionError")
_BINDINGS: Final = "llama-cpp-python"
_REBUILD: Final = (
    'CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --force-reinstall --no-deps --no-cache-dir '
    f"--no-binary {_BINDINGS} {_BINDINGS}"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause: what it is about, what was seen, and the exact fix."""

    cause: Cause
    target: str
    evidence: str
    fix: str

    def as_json(self) -> dict[str, str]:
        """Its fields."""
        return asdict(self)


def diagnose(symptoms: Symptoms) -> list[Finding]:
    """Every cause, the one to heal first at the beginning; empty for a healthy host."""
    return [finding for find in _FINDERS for finding in find(symptoms)]


def _model_missing(symptoms: Symptoms) -> Iterator[Finding]:
    for drift in symptoms.drift:
        if drift.kind == "model file":
            yield Finding("model missing", drift.target, drift.what, f"{APPLY}: fetches and verifies it")


def _port_taken(symptoms: Symptoms) -> Iterator[Finding]:
    for drift in symptoms.drift:
        if drift.kind == "rogue listener":
            yield Finding("port taken", drift.target, drift.what, drift.fix)


def _disk_full(symptoms: Symptoms) -> Iterator[Finding]:
    disk = symptoms.disk
    if disk.free < max(FULL_BYTES, disk.size * FULL_SHARE):
        evidence = f"{disk.free >> 20} MiB of {disk.size >> 20} MiB are free"
        fix = (
            "genesis-stack models gc --keep 1: removes old generations and the model files that nothing else "
            "needs; then look at `du -xh /`"
        )
        yield Finding("disk full", str(symptoms.state), evidence, fix)


def _wrong_cpu_build(symptoms: Symptoms) -> Iterator[Finding]:
    for patient in symptoms.patients:
        if (line := _said(patient, _ILLEGAL)) and not patient.serves:
            fix = f"{_REBUILD}=={version(_BINDINGS)}, in the environment of genesis-serve"
            yield Finding("wrong CPU build", patient.service.model, line, fix)


def _out_of_memory(symptoms: Symptoms) -> Iterator[Finding]:
    for patient in symptoms.patients:
        if line := _said(patient, _OOM) or patient.oom:
            service = patient.service
            larger = -(-service.memory * 3 // 2 // 2**20)
            fix = (
                f"in stack.yaml raise models.{service.model}.budget.memory (now {service.memory >> 20}MiB, "
                f"try {larger}MiB), or lower its engine.context or engine.parallel; then {APPLY}"
            )
            yield Finding("out of memory", service.model, line, fix)


def _permission_denied(symptoms: Symptoms) -> Iterator[Finding]:
    for patient in symptoms.patients:
        if (line := _said(patient, _DENIED)) and not patient.serves:
            path = re.search(r"'(/[^']+)'|(/\S+?)(?::|$)", line)
            where = (path[1] or path[2]) if path else "the file it names"
            fix = f"see who may read {where} (namei -l {where}); {APPLY} restores the modes of what is ours"
            yield Finding("permission denied", patient.service.model, line, fix)


def _clock_skew(symptoms: Symptoms) -> Iterator[Finding]:
    ahead = (symptoms.last_apply or 0.0) - symptoms.now
    fix = (
        "apt install systemd-timesyncd && timedatectl set-ntp true; signatures are refused until it is right"
    )
    if ahead > SKEW_SECONDS:
        yield Finding("clock skew", "this machine", f"the last apply ended {ahead:.0f} s in the future", fix)
    elif symptoms.synchronized is False and any(
        patient.value("genesis_auth_failures_total") for patient in symptoms.patients
    ):
        evidence = "no time service keeps the clock, and requests were refused"
        yield Finding("clock skew", "this machine", evidence, fix)


def _connection_refused(symptoms: Symptoms) -> Iterator[Finding]:
    for patient in symptoms.patients:
        service, seen = patient.service, patient.seen
        address = f"{service.host}:{service.port}"
        if not seen.listening:
            evidence = f"nothing of ours listens on {address}"
            yield Finding("connection refused", service.model, evidence, f"{APPLY}: opens the port")
        elif seen.phase in {Phase.STOPPED, Phase.FAILED, Phase.ABSENT}:
            evidence = f"its server is {seen.phase}; the last it said: {_last(patient)}"
            yield Finding("connection refused", service.model, evidence, f"{APPLY}: starts it")


def _drift(symptoms: Symptoms) -> Iterator[Finding]:
    for drift in symptoms.drift:
        if drift.kind not in {"model file", "rogue listener", "stopped", "closed port"}:
            yield Finding("drift", drift.target, f"{drift.kind}: {drift.what}", drift.fix)


def _rate_limited(symptoms: Symptoms) -> Iterator[Finding]:
    limits = {"requests": "requests_per_minute", "tokens": "tokens_per_minute", "concurrent": "concurrent"}
    for patient in symptoms.patients:
        for labels, count in patient.metrics.samples.get("genesis_rate_limited_total", ()):
            client, setting = labels["client"], limits.get(labels["limit"], labels["limit"])
            declared = symptoms.stack.clients.get(client) if symptoms.stack else None
            if count and declared is not None:
                now = getattr(declared, setting)
                evidence = f"{count:.0f} requests of {client} were refused by {setting} ({now})"
                raised = f"raise clients.{client}.{setting} in stack.yaml and {APPLY}"
                fix = f"{raised}, or let the client heed Retry-After"
                yield Finding("rate limited", patient.service.model, evidence, fix)


def _slow(symptoms: Symptoms) -> Iterator[Finding]:
    for patient in symptoms.patients:
        model = patient.service.model
        periods = patient.value("genesis_cpu_periods_total")
        throttled = patient.value("genesis_cpu_throttled_periods_total")
        seconds = patient.value("genesis_cpu_throttled_seconds_total")
        if periods and throttled / periods > THROTTLED and seconds > THROTTLED_SECONDS:
            evidence = f"it was held back in {throttled / periods:.0%} of the periods of its CPU quota"
            fix = f"raise models.{model}.budget.cpus in stack.yaml and {APPLY}"
            yield Finding("slow", model, evidence, fix)
        elif waiting := patient.value("llamacpp:requests_deferred"):
            evidence = f"{waiting:.0f} requests wait for a place in the batch"
            fix = f"raise models.{model}.engine.parallel in stack.yaml, or send less at once"
            yield Finding("slow", model, evidence, fix)


def _said(patient: Patient, pattern: re.Pattern[str]) -> str:
    """The last line of its log that matches, if any."""
    return next((line.strip() for line in reversed(patient.log) if pattern.search(line)), "")


def _last(patient: Patient) -> str:
    return patient.log[-1].strip() if patient.log else "nothing"


_FINDERS: Final[Sequence[Callable[[Symptoms], Iterator[Finding]]]] = (
    _model_missing,
    _port_taken,
    _disk_full,
    _wrong_cpu_build,
    _out_of_memory,
    _permission_denied,
    _clock_skew,
    _connection_refused,
    _drift,
    _rate_limited,
    _slow,
)
