"""Bodies that are being received never fill the memory, and large ones never keep small ones out."""

from __future__ import annotations

import pytest

from genesis_stack.server.body_room import LARGEST_BODIES, SMALL, BodyRoom
from genesis_stack.server.errors import HttpError

MAX_BODY = 10 * SMALL


def test_there_is_room_for_so_many_and_it_comes_back() -> None:
    """One large body too many is told to come back; a small one is taken all the same."""
    room = BodyRoom(MAX_BODY)
    places = [room.place() for _ in range(LARGEST_BODIES)]
    for place in places:
        place.__enter__().hold(MAX_BODY + SMALL)
    with room.place() as small:
        small.hold(SMALL)
    with pytest.raises(HttpError) as refused, room.place() as large:
        large.hold(SMALL + 1)
    assert refused.value.status == 503
    places[0].__exit__(None, None, None)
    with room.place() as large:
        large.hold(MAX_BODY)
