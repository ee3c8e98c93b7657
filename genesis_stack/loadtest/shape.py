"""A profile as Locust wants it. Imported in Locust's own process alone."""

from __future__ import annotations

import time

from locust import LoadTestShape
from locust.runners import MasterRunner

from genesis_stack.loadtest.schedule import users_at
from genesis_stack.loadtest.setting import Setting


def shape_class(setting: Setting) -> type[LoadTestShape]:
    """The shape of a setting's profile."""

    class ProfileShape(LoadTestShape):
        abstract = False

        def tick(self) -> tuple[int, float] | None:
            now = users_at(setting.profile, time.perf_counter() - self.start_time)
            if now is None and isinstance(self.runner, MasterRunner):
                self.runner.stop()  # unlike its quit, waits for the last requests of the workers
            return now

    return ProfileShape
