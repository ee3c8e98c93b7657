"""How many users there are at each moment of a profile."""

from __future__ import annotations

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
