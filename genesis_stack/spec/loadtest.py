"""Load profiles: who calls how often for how long, and the promises that must hold meanwhile."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genesis_stack.spec.fields import Frozen, Many, Name
from genesis_stack.spec.runtime import Slo
from genesis_stack.spec.units import Duration, Rate

Users = Annotated[int, Field(ge=1, le=100_000)]
Weight = Annotated[int, Field(ge=1, le=1000)]
Task = Literal[
    "chat",
    "stream",
    "completion",
    "shared_prefix",
    "long_prompt",
    "extraction",
    "vision",
    "embedding",
    "rerank",
]


class Step(Frozen):
    """A stretch of constant load."""

    users: Users = Field(description="Users at the same time.")
    duration: Duration = Field(gt=0, description="How long.")


class LoadProfile(Frozen):
    """One load test."""

    users: Users = Field(default=1, description="Users at the same time.")
    duration: Duration = Field(default=60.0, gt=0, description="How long, without the warm-up.")
    spawn_rate: Rate = Field(default=1.0, gt=0, description="How fast users arrive.")
    warm_up: Duration = Field(default=5.0, description="Start that is not measured.")
    think_time: Duration = Field(default=1.0, description="Average pause of a user between two requests.")
    steps: Many[Step] = Field(
        default=(),
        description="Stretches in order, for steps and spikes; they replace users and duration, and jump "
        "unless there is a spawn_rate.",
    )
    tasks: dict[Task, Weight] = Field(
        default_factory=dict, description="What users do, by weight; absent: what the models can."
    )
    models: Many[Name] = Field(default=(), description="Models to call; absent: all.")
    client: Name | None = Field(default=None, description="Client whose key is used.")
    max_tokens: int = Field(default=128, ge=1, le=1_000_000, description="Longest answer in tokens.")
    least_requests: int = Field(
        default=20,
        ge=1,
        le=10_000_000,
        description="Fewer answered requests of a model prove nothing and fail the test.",
    )
    slo: Slo = Field(default=Slo(), description="Promises that replace the models' own in this test.")
