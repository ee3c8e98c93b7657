"""Tells the service manager how the process is: sd_notify(3), without a library."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Notifier:
    """Messages to $NOTIFY_SOCKET; silent where there is none.

    `watchdog_s` is how often, in seconds, WATCHDOG=1 must arrive ($WATCHDOG_USEC), if at all.
    """

    address: str | None
    watchdog_s: float | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What the manager said in the environment; a watchdog meant for another process is ignored."""
        address = environment.get("NOTIFY_SOCKET") or None
        interval = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(interval) / 1e6 if interval.isdecimal() and mine else None)

    def ready(self, status: str) -> None:
        """The model admits requests."""
        self._send(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def beat(self) -> None:
        """All is well."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(message.encode(), address)
