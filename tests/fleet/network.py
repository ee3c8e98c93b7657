"""A network namespace with a switch in it: hosts are plugged in, and their cables can be pulled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from hosts.nspawn import Host

from genesis_stack.process import run

SWITCH: Final = "switch"


@dataclass(frozen=True, slots=True)
class Network:
    """A network of its own: nothing on it sees this machine or its networks."""

    namespace: str

    def plug(self, host: Host, name: str, address: str) -> None:
        """Give a host a network card with this address and connect it."""
        card = ("type", "veth", "peer", "name", "eth0", "netns", str(host.leader))
        self._ip("link", "add", name, *card)
        self._ip("link", "set", name, "master", SWITCH, "up")
        host.run(["ip", "address", "add", f"{address}/24", "dev", "eth0"])
        host.run(["ip", "link", "set", "eth0", "up"])

    def pull(self, name: str) -> None:
        """Pull the cable of a host: what is sent is lost, and nobody is told."""
        self._ip("link", "set", name, "nomaster")

    def put_back(self, name: str) -> None:
        """Put its cable back."""
        self._ip("link", "set", name, "master", SWITCH)

    def _ip(self, *words: str) -> None:
        run(["ip", "-n", self.namespace, *words])


@contextmanager
def network() -> Iterator[Network]:
    """A network that goes with its cables when the context ends."""
    namespace = f"genesis-{uuid.uuid4().hex[:8]}"
    run(["ip", "netns", "add", namespace])
    try:
        run(["ip", "-n", namespace, "link", "add", SWITCH, "type", "bridge"])
        run(["ip", "-n", namespace, "link", "set", SWITCH, "up"])
        yield Network(namespace)
    finally:
        run(["ip", "netns", "delete", namespace])
