"""What a load test is made of: a stack, one of its profiles, and the servers and tasks that follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack.client.config import LocalLLMConfig
from genesis_stack.client.errors import ConfigurationError
from genesis_stack.client.stackfile import config_from_stack
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.spec.load import load
from genesis_stack.spec.loadtest import LoadProfile, Task
from genesis_stack.spec.model import Model, Stack
from genesis_stack.spec.problems import did_you_mean

STACK_VARIABLE: Final = "GENESIS_LOAD_STACK"
PROFILE_VARIABLE: Final = "GENESIS_LOAD_PROFILE"
HOST_VARIABLE: Final = "GENESIS_LOAD_HOST"
RESULT_VARIABLE: Final = "GENESIS_LOAD_RESULT"
PROGRESS_VARIABLE: Final = "GENESIS_LOAD_PROGRESS"

_TEXT: Final[Mapping[Task, int]] = {
    "stream": 4,
    "chat": 1,
    "completion": 1,
    "shared_prefix": 2,
    "long_prompt": 1,
    "extraction": 1,
}
USUAL: Final[Mapping[str, Mapping[Task, int]]] = {
    "text": _TEXT,
    "vision": {"vision": 4, "stream": 2, "chat": 1},
    "embedding": {"embedding": 1},
    "rerank": {"rerank": 1},
}
"""What users do with a model of each task, by weight, unless the profile says otherwise."""
ABLE: Final[Mapping[str, frozenset[Task]]] = {
    "text": frozenset(_TEXT),
    "vision": frozenset({*_TEXT, "vision"}),
    "embedding": frozenset({"embedding", "rerank"}),
    "rerank": frozenset({"rerank"}),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of request to one server; `share` is how much of all requests it gets."""

    model: str
    task: Task
    url: str
    context: int
    max_tokens: int
    share: float


@dataclass(frozen=True, slots=True)
class Setting:
    """A load test that can run; of the servers of `host` alone, or of all where that is None."""

    stack: Stack
    name: str
    profile: LoadProfile
    config: LocalLLMConfig
    targets: tuple[Target, ...]
    host: str | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The models that are called."""
        return tuple(dict.fromkeys(target.model for target in self.targets))

    @property
    def duration(self) -> float:
        """Seconds of the whole test."""
        profile = self.profile
        return profile.warm_up + (sum(step.duration for step in profile.steps) or profile.duration)


def read_setting(path: Path, name: str, host: str | None = None) -> Setting:
    """A profile of a stack file, with the key of its client from `GENESIS_LLM_*` variables.

    With the `host` that this machine is, its own servers alone are loaded.

    Raises:
        GenesisError: the stack is invalid, has no such profile, or leaves nothing to call.
    """
    stack = load(path)
    if name not in stack.load:
        known = ", ".join(stack.load) or "none"
        hint = did_you_mean(name, stack.load) or f"the stack declares: {known}"
        raise GenesisError(
            f"{path} has no load profile {name!r}", hint=hint, exit_code=ExitCode.INVALID_CONFIG
        )
    profile = stack.load[name]
    try:
        config = config_from_stack(path, profile.client, {}, host=host)
    except ConfigurationError as error:
        raise GenesisError(str(error), exit_code=ExitCode.INVALID_CONFIG) from None
    _check_key(stack, profile, config)
    targets = _targets(stack, profile, config)
    if not targets:
        hint = "look at its tasks, its models, and what its client may call"
        raise GenesisError(
            f"load profile {name!r} calls nothing", hint=hint, exit_code=ExitCode.INVALID_CONFIG
        )
    return Setting(stack, name, profile, config, targets, host)


def setting_of_environment() -> Setting:
    """The setting that Locust's process was given by variables."""
    stack = Path(os.environ.get(STACK_VARIABLE, "stack.yaml"))
    profile = os.environ.get(PROFILE_VARIABLE, "smoke")
    return read_setting(stack, profile, os.environ.get(HOST_VARIABLE) or None)


def _check_key(stack: Stack, profile: LoadProfile, config: LocalLLMConfig) -> None:
    if stack.clients and config.api_key is None and config.hmac_secret is None:
        who = f"client {profile.client!r}" if profile.client else "a declared client"
        hint = "set GENESIS_LLM_API_KEY_FILE, or GENESIS_LLM_HMAC_SECRET_FILE if it signs its requests"
        raise GenesisError(f"the load test has no key of {who}", hint=hint, exit_code=ExitCode.USAGE)


def _targets(stack: Stack, profile: LoadProfile, config: LocalLLMConfig) -> tuple[Target, ...]:
    """Every model gets the same share of the requests, and so does every server of it."""
    found = []
    wanted = profile.models or tuple(stack.models)
    for endpoint in config.endpoints:
        if endpoint.model is None or endpoint.model not in wanted:
            continue
        model = stack.models[endpoint.model]
        weights = _weights(model, profile)
        servers = sum(one.model == endpoint.model for one in config.endpoints)
        for task, weight in weights.items():
            share = weight / sum(weights.values()) / servers
            context = model.engine.context
            longest = min(profile.max_tokens, context // 2)
            found.append(Target(endpoint.model, task, endpoint.url, context, longest, share))
    return tuple(found)


def _weights(model: Model, profile: LoadProfile) -> Mapping[Task, int]:
    if not profile.tasks:
        return USUAL.get(model.task, {})
    able = ABLE.get(model.task, frozenset())
    return {task: weight for task, weight in profile.tasks.items() if task in able}
