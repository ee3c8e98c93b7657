"""Gathers samples and readings while Locust runs, and writes the record. Imported there alone.

Distributed, each worker sends its samples along with Locust's own reports, and the master writes.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any, Final

import gevent
import httpx
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from genesis_stack.client.signing import auth_of
from genesis_stack.dashboard.exposition import Exposition
from genesis_stack.loadtest.progress import Progress
from genesis_stack.loadtest.record import Crowd, Reading, Record, Sample
from genesis_stack.loadtest.setting import PROGRESS_VARIABLE, RESULT_VARIABLE, Setting

READINGS: Final = 240
"""Most readings of one server in a test."""
KEY: Final = "genesis"
"""Under which a worker's report carries its samples."""


class Collector:
    """One test after another; each begins empty."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._interval = max(1.0, setting.duration / READINGS)
        self._begin()

    def _begin(self) -> None:
        self._samples: list[Sample] = []
        self._readings: list[Reading] = []
        self._crowds: list[Crowd] = []
        self._started, self._cpu = time.time(), time.process_time()
        self._busiest = 0.0

    def hear(self, sample: Sample) -> None:
        """A request has ended."""
        self._samples.append(sample)

    def attach(self) -> None:
        """Have Locust tell what happens."""
        logging.getLogger("httpx").setLevel(logging.WARNING)  # Locust logs all at INFO; a reading is no news
        listeners = {
            events.test_start: self._on_start,
            events.test_stop: self._on_stop,
            events.report_to_master: self._on_report,
            events.worker_report: self._on_worker,
        }
        for event, listener in listeners.items():
            event.add_listener(listener)  # type: ignore[no-untyped-call]

    def _on_start(self, environment: Environment, **_: Any) -> None:
        self._begin()
        if not isinstance(environment.runner, WorkerRunner):
            self._watching = gevent.spawn(self._watch, environment)

    def _on_report(self, data: dict[str, Any], **_: Any) -> None:
        sent, self._samples = self._samples, []
        data[KEY] = {"cpu": self._share(), "samples": [one.model_dump() for one in sent]}

    def _on_worker(self, data: dict[str, Any], **_: Any) -> None:
        self._busiest = max(self._busiest, data[KEY]["cpu"])
        self._samples += [Sample.model_validate(one) for one in data[KEY]["samples"]]

    def _share(self) -> float:
        """Of one core, by this process since the test began."""
        return (time.process_time() - self._cpu) / max(time.time() - self._started, 1e-3)

    def _on_stop(self, environment: Environment, **_: Any) -> None:
        if isinstance(environment.runner, WorkerRunner):
            return
        self._watching.kill()
        self._tell()
        target = os.environ.get(RESULT_VARIABLE)
        if target:
            Path(target).write_text(self._record().model_dump_json() + "\n", encoding="utf-8")

    def _record(self) -> Record:
        return Record(
            stack=self._setting.stack.name,
            profile=self._setting.name,
            models=self._setting.models,
            started=self._started,
            seconds=time.time() - self._started,
            warm_up=self._setting.profile.warm_up,
            generator_cpu=max(self._busiest, self._share()),
            crowds=tuple(self._crowds),
            samples=tuple(self._samples),
            readings=tuple(self._readings),
        )

    def _watch(self, environment: Environment) -> None:
        servers = dict.fromkeys((target.model, target.url) for target in self._setting.targets)
        ca_file = self._setting.config.ca_file
        verify = True if ca_file is None else str(ca_file)
        with httpx.Client(auth=auth_of(self._setting.config), verify=verify, timeout=5) as client:
            while True:
                self._crowds.append(
                    Crowd(at=time.time(), users=environment.runner.user_count if environment.runner else 0)
                )
                self._tell()
                for model, url in servers:
                    self._look(client, model, url)
                gevent.sleep(self._interval)

    def _tell(self) -> None:
        target = os.environ.get(PROGRESS_VARIABLE)
        if target:
            failed = sum(one.error is not None for one in self._samples)
            progress = Progress(
                seconds=time.time() - self._started,
                users=self._crowds[-1].users if self._crowds else 0,
                answered=len(self._samples) - failed,
                failed=failed,
                tokens=sum(one.tokens for one in self._samples),
            )
            progress.write(Path(target))

    def _look(self, client: httpx.Client, model: str, url: str) -> None:
        """One reading; a server that does not answer has none, and its requests tell why."""
        try:
            answer = client.get(f"{url}/metrics").raise_for_status()
            self._readings.append(_reading(model, url, Exposition.parse(answer.text)))
        except (httpx.HTTPError, ValueError):
            return


def _reading(model: str, url: str, seen: Exposition) -> Reading:
    def value(name: str) -> float:
        return seen.total(name) or 0.0

    return Reading(
        at=time.time(),
        model=model,
        server=url,
        began=value("genesis_start_time_seconds"),
        memory=value("genesis_memory_resident_bytes"),
        budget=value("genesis_memory_budget_bytes"),
        running=value("llamacpp:requests_processing"),
        waiting=value("llamacpp:requests_deferred"),
        descriptors=value("genesis_open_fds"),
    )
