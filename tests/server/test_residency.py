"""A model that leaves memory when idle, and groups that share it: the promises, over a scripted engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scripted_engine import ScriptedEngine, saying
from serving import MODEL, InProcess, Served
from waiting import eventually

from genesis_stack.engine.interface import Delta, EngineState, EngineUnavailableError, GenerationRequest
from genesis_stack.protocol.serve_config import ResidencyConfig, ServeConfig
from genesis_stack.server import group_turn, residency
from genesis_stack.server.app import App
from genesis_stack.server.served_model import ServedModel

COUNTED = "llamacpp:tokens_predicted_total 40.0"


@dataclass
class Coming:
    """A served model with another engine at each load; `gate` is waited for, `refusal` raised instead."""

    config: ServeConfig
    engines: list[ScriptedEngine] = field(default_factory=list)
    script: Any = field(default_factory=lambda: saying("Hel", "lo."))
    refusal: Exception | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    loads: int = 0
    model: ServedModel = field(init=False)

    async def start(self) -> Served:
        """Load it."""
        self.gate.set()
        self.model = ServedModel(self.config, "c" * 64, InProcess())
        await self.model.load(self._make)
        return Served(App(self.model), self.engines[0])

    async def _make(self, _config: ServeConfig) -> ScriptedEngine:
        self.loads += 1
        await self.gate.wait()
        if self.refusal is not None:
            raise self.refusal
        self.engines.append(ScriptedEngine(script=self.script))
        return self.engines[-1]

    def is_in_memory(self) -> bool:
        """Whether its latest engine has not been let go."""
        return not self.engines[-1].drained

    def takes_requests(self) -> bool:
        """Whether who comes now gets in, instead of waiting."""
        return self.model._residency._open.is_set()

    def is_wanted(self) -> bool:
        """Whether it is loaded again, or about to be."""
        return self.loads > len(self.engines)

    def has_left(self) -> bool:
        """Whether it is unloaded for good."""
        return self.model.state is EngineState.UNLOADED and self.engines[-1].drained


Make = Callable[..., Coming]


@pytest.fixture
async def coming(
    config: ServeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Make]:
    """Makes models that leave after so many seconds, alone or in one group."""
    monkeypatch.setattr(residency, "POLL_S", 0.01)
    monkeypatch.setattr(group_turn, "POLL_S", 0.01)
    made: list[Coming] = []

    def make(idle_s: float = 0.05, *, grouped: bool = False, **changes: Any) -> Coming:
        group = str(tmp_path / "groups/big") if grouped else None
        update = {"residency": ResidencyConfig(idle_s=idle_s, group=group), **changes}
        made.append(Coming(config.model_copy(update=update)))
        return made[-1]

    yield make
    for one in made:
        await one.model.drain(0)


def waiting_for(gate: asyncio.Event) -> Any:
    """A script whose stream ends when the gate opens."""

    async def script(request: GenerationRequest) -> AsyncGenerator[Delta]:
        async for delta in saying("Hel", "lo.")(request):
            if delta.finish is not None:
                await gate.wait()
            yield delta

    return script


async def test_an_idle_model_leaves_and_the_next_request_only_waits(coming: Make) -> None:
    """All that come meanwhile are answered by one load."""
    one = coming()
    served = await one.start()
    await eventually(one.has_left)
    answers = await asyncio.gather(*(served.chat() for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(one.engines) == 2


async def test_looking_does_not_wake_it(coming: Make) -> None:
    """Health is 200 and `unloaded`; what was known of the model still is."""
    one = coming()
    served = await one.start()
    await eventually(one.has_left)
    health = await served.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "unloaded")
    assert (await served.http.get("/props")).json()["state"] == "unloaded"
    assert (await served.http.get("/v1/models")).json()["data"][0]["meta"]["n_embd"] == 2
    assert (await served.http.get("/slots")).json() == []
    metrics = (await served.http.get("/metrics")).text
    assert "genesis_ready 1.0" in metrics
    assert "genesis_model_loaded 0.0" in metrics
    refused = await served.post("/v1/chat/completions", {"model": MODEL, "messages": []})
    assert refused.status_code == 400
    await asyncio.sleep(0.05)  # so long nothing happens
    assert len(one.engines) == 1


async def test_counters_go_on_over_an_unload(coming: Make) -> None:
    """A fall would read as a restart to Prometheus."""
    one = coming()
    served = await one.start()
    await eventually(one.has_left)
    assert "llamacpp:tokens_predicted_total 20.0" in (await served.http.get("/metrics")).text
    await served.chat()
    assert COUNTED in (await served.http.get("/metrics")).text
    await eventually(one.has_left)
    text = (await served.http.get("/metrics")).text
    assert COUNTED in text
    assert 'genesis_inter_token_latency_seconds_bucket{le="+Inf"} 8.0' in text


async def test_a_stream_in_progress_keeps_it(coming: Make) -> None:
    """However long it takes; and others come in beside it."""
    gate = asyncio.Event()
    one = coming(0)
    one.script = waiting_for(gate)
    served = await one.start()
    stream = asyncio.create_task(served.chat(stream=True))
    await eventually(lambda: one.engines[-1].requests)
    await asyncio.sleep(0.1)  # so long nothing happens
    assert one.is_in_memory()
    async with asyncio.timeout(5):
        assert (await served.post("/tokenize", {"content": "x"})).status_code == 200
    gate.set()
    assert "Hel" in (await stream).text
    await eventually(one.has_left)


async def test_a_load_that_fails_is_a_failed_model(coming: Make) -> None:
    """Whoever waits is told, and health says why."""
    one = coming()
    served = await one.start()
    await eventually(one.has_left)
    one.refusal = RuntimeError("the disk is gone")
    assert (await served.chat()).status_code == 503
    health = await served.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "failed")
    assert "the disk is gone" in health.json()["reason"]


async def test_who_waits_longer_than_a_request_may_take_is_told(coming: Make, config: ServeConfig) -> None:
    """503, to be tried again."""
    one = coming(limits=config.limits.model_copy(update={"request_timeout_s": 0.2}))
    served = await one.start()
    await eventually(one.has_left)
    one.gate.clear()
    answer = await served.chat()
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_the_end_waits_for_nobody(coming: Make) -> None:
    """Also while it is loaded again; those who wait for it are told."""
    one = coming()
    served = await one.start()
    await eventually(one.has_left)
    one.gate.clear()
    waiting = asyncio.create_task(served.chat())
    await eventually(one.is_wanted)
    async with asyncio.timeout(2):
        await one.model.drain(0)
    assert (await waiting).status_code == 503
    with pytest.raises(EngineUnavailableError):
        _ = one.model.engine


async def test_two_of_a_group_are_never_in_memory_together(coming: Make) -> None:
    """Each answers every request, though both are asked all the time."""
    pair = [coming(60, grouped=True), coming(60, grouped=True)]
    first = await pair[0].start()
    second = await pair[1].start()
    together = 0

    async def watch() -> None:
        nonlocal together
        while True:
            together += all(one.is_in_memory() for one in pair)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    for _ in range(10):
        answers = await asyncio.gather(first.chat(), second.chat(), second.chat())
        assert {answer.status_code for answer in answers} == {200}
    watching.cancel()
    assert together == 0
    assert min(len(one.engines) for one in pair) >= 5


async def test_a_busy_model_gives_way_after_a_while(coming: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is finished; what comes later stands behind the one who waits."""
    monkeypatch.setattr(residency, "PATIENCE_S", 0.2)
    gate = asyncio.Event()
    busy, other = coming(60, grouped=True), coming(60, grouped=True)
    served = await busy.start()
    busy.script = busy.engines[0].script = waiting_for(gate)
    running = asyncio.create_task(served.chat())
    await eventually(lambda: busy.engines[0].requests)
    starting = asyncio.create_task(other.start())
    await eventually(lambda: not busy.takes_requests())
    late = asyncio.create_task(served.chat())
    await asyncio.sleep(0.05)  # so long nothing happens
    assert len(busy.engines[0].requests) == 1
    assert not starting.done()
    gate.set()
    assert (await running).status_code == 200
    assert (await (await starting).chat()).status_code == 200
    assert (await late).status_code == 200
    assert len(busy.engines) == 2
