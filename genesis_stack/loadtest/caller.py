"""The Locust user: asks, reads, measures. Imported in Locust's own process alone."""

from __future__ import annotations

import json
import random
import ssl
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

import gevent
import httpx
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

from genesis_stack.client.signing import auth_of
from genesis_stack.loadtest.answer import (
    Answer,
    BadAnswerError,
    check_extraction,
    read_body,
    read_stream,
    refusal,
)
from genesis_stack.loadtest.mix import Mix
from genesis_stack.loadtest.record import Sample
from genesis_stack.loadtest.setting import Setting, Target
from genesis_stack.loadtest.traffic import Ask, ask

SILENCE: Final = 120.0
"""Seconds without a byte after which a request has failed."""

Hear = Callable[[Sample], None]


class Caller(FastHttpUser):
    """One user of the stack, who thinks between two requests."""

    abstract = True
    network_timeout = SILENCE
    connection_timeout = 10.0
    insecure = False
    setting: ClassVar[Setting]
    mix: ClassVar[Mix]
    hear: ClassVar[Hear]

    def wait_time(self) -> float:
        """Pauses of exponential length: users arrive as if they knew nothing of each other."""
        mean = self.setting.profile.think_time
        return random.expovariate(1 / mean) if mean else 0.0

    @task
    def call(self) -> None:
        """One request, from what comes next in the mix."""
        number, target = self.mix.next()
        asked = ask(target, number)
        started, wall = time.perf_counter(), time.time()
        answer, error = Answer(), None
        try:
            answer = self._ask(target, asked)
        except BadAnswerError as failure:
            error = str(failure)
        except gevent.GreenletExit:
            if self._had_time(time.perf_counter() - started):
                self._tell(
                    target, wall, time.perf_counter() - started, answer, "no end when the test was over"
                )
            raise
        self._tell(target, wall, time.perf_counter() - started, answer, error)

    def _had_time(self, seconds: float) -> bool:
        """Whether a request that is cut off could have ended: now and then Locust lets one begin too late."""
        patience = self.environment.stop_timeout
        return bool(patience) and seconds >= patience

    def _tell(self, target: Target, wall: float, seconds: float, answer: Answer, error: str | None) -> None:
        sample = Sample(
            model=target.model,
            task=target.task,
            started=wall,
            seconds=round(seconds, 5),
            error=error,
            ttft=answer.ttft,
            gaps=tuple(answer.gaps),
            tokens=answer.tokens,
            queue=answer.queue,
        )
        type(self).hear(sample)
        self._show(sample)

    def _ask(self, target: Target, asked: Ask) -> Answer:
        content = json.dumps(asked.body).encode()
        url = target.url + asked.path
        started = time.perf_counter()
        with self.client.request(
            "POST",
            url,
            name=f"{target.model} {target.task}",
            data=content.decode(),
            headers=self._headers(url, content),
            stream=True,
            catch_response=True,
        ) as response:
            try:
                return _read(response, target, asked, started)
            except BadAnswerError as failure:
                response.failure(str(failure))
                raise
            except FAILURE_EXCEPTIONS as failure:
                reason = f"connection: {type(failure).__name__}"
                response.failure(reason)
                raise BadAnswerError(reason) from None
            finally:
                response.request_meta["response_time"] = (time.perf_counter() - started) * 1000

    def _headers(self, url: str, content: bytes) -> dict[str, str]:
        request = httpx.Request("POST", url, content=content, headers={"content-type": "application/json"})
        auth = auth_of(self.setting.config)
        if callable(auth):
            auth(request)
        mine = {"host", "content-length"}  # the transport writes these itself
        fields = {name: value for name, value in request.headers.items() if name not in mine}
        return fields | {"Accept-Encoding": "identity"}

    def _show(self, sample: Sample) -> None:
        """What Locust's own page and CSV show besides: entries that do not count as requests."""
        stats = self.environment.stats
        figures: list[tuple[str, float | None]] = [
            ("TTFT ms", sample.ttft and sample.ttft * 1000),
            ("queue ms", sample.queue and sample.queue * 1000),
            ("tokens/s", sample.rate),
            *(("inter-token ms", gap * 1000) for gap in sample.gaps),
        ]
        for method, value in figures:
            if value is not None:
                stats.get(sample.model, method).log(value, 0)


def _read(response: Any, target: Target, asked: Ask, started: float) -> Answer:
    if not response.status_code:
        response.raise_for_status()
    if asked.streams and refusal(response.status_code, b"") is None:
        return read_stream(response._response, started)  # noqa: SLF001 -- Locust passes bytes on late
    content = bytes(response.content or b"")
    reason = refusal(response.status_code, content)
    if reason is not None:
        raise BadAnswerError(reason)
    answer = read_body(content)
    if target.task == "extraction":
        check_extraction(content)
    return answer


def caller_class(setting: Setting, hear: Hear) -> type[Caller]:
    """The users of a setting; each finished request is told to `hear`."""

    def trust() -> ssl.SSLContext:
        ca_file = setting.config.ca_file
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))

    members = {
        "abstract": False,
        "host": setting.targets[0].url,
        "setting": setting,
        "mix": Mix(setting.targets),
        "hear": staticmethod(hear),
        "ssl_context_factory": staticmethod(trust),
    }
    return type("StackUser", (Caller,), members)
