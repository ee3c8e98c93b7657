"""How many users there are at each moment of a profile. Imported in Locust's own process alone."""

from __future__ import annotations

import time

from locust import LoadTestShape

from genesis_stack.loadtest.setting import Setting
from genesis_stack.spec.loadtest import LoadProfile


def users_at(profile: LoadProfile, moment: float) -> tuple[int, float] | None:
    """Users, and arrivals a second, `moment` seconds after the start; None once it is over.

    The warm-up has the users of the beginning. Steps are jumps unless the profile has a spawn rate.
    """
    if not profile.steps:
        over = moment >= profile.warm_up + profile.duration
        return None if over else (profile.users, profile.spawn_rate)
    end = profile.warm_up
    for step in profile.steps:
        end += step.duration
        if moment < end:
            jumps = "spawn_rate" not in profile.model_fields_set
            return step.users, float(step.users) if jumps else profile.spawn_rate
    return None


def shape_class(setting: Setting) -> type[LoadTestShape]:
    """The shape of a setting's profile."""

    class ProfileShape(LoadTestShape):
        abstract = False

        def tick(self) -> tuple[int, float] | None:
            return users_at(setting.profile, time.perf_counter() - self.start_time)

    return ProfileShape
