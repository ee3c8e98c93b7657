"""The host that keeps the repository: git over SSH, authors who sign, and a place where notices arrive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from hosts.nspawn import Host

BARE: Final = "/srv/stack.git"
WORK: Final = "/root/work"
NOTICES: Final = "/run/notices"
NOTICES_PORT: Final = 9000
AUTHOR: Final = "author@example.org"
HOOK: Final = """#!/bin/sh
# Hosts may write where the canary's verdicts hang, and nowhere else.
[ "$(id -u)" = 0 ] && exit 0
case $1 in refs/heads/genesis-canary/*) exit 0 ;; esac
echo "not yours: $1" >&2
exit 1
"""
RECEIVER: Final = f"""
import http.server
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open({NOTICES!r}, "ab") as file:
            file.write(body + b"\\n")
        self.send_response(204)
        self.end_headers()
http.server.ThreadingHTTPServer(("0.0.0.0", {NOTICES_PORT}), Receiver).serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """The repository's host, at `address`."""

    host: Host
    address: str

    @property
    def url(self) -> str:
        """As the hosts fetch it."""
        return f"ssh://git@{self.address}{BARE}"

    @property
    def head(self) -> str:
        """What the followed branch holds."""
        return self._git("rev-parse", "main", at=BARE)

    @property
    def text(self) -> str:
        """The stack that it holds there."""
        return self._git("show", "main:stack.yaml", at=BARE) + "\n"

    def set_up(self, deploy_keys: Sequence[str]) -> None:
        """Make the repository and let hosts with these keys in."""
        self.host.run(["useradd", "--create-home", "--shell", "/usr/bin/git-shell", "git"])
        self.host.write("/home/git/.ssh/authorized_keys", "\n".join(deploy_keys) + "\n")
        self.host.run(["git", "config", "--system", "safe.directory", "*"])
        self.host.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", BARE])
        self.host.write(f"{BARE}/hooks/update", HOOK, mode=0o755)
        self.host.run(["chown", "--recursive", "git:git", BARE])
        for name in ("author", "stranger"):
            self.host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", f"/root/{name}"])
        self.host.run(["git", "clone", "--quiet", BARE, WORK])
        for name, value in {
            "user.name": "Author",
            "user.email": AUTHOR,
            "gpg.format": "ssh",
        }.items():
            self._git("config", name, value)
        self.host.write("/run/receiver.py", RECEIVER)
        self.host.write(NOTICES, "")
        self.host.run(["systemd-run", "--quiet", "--unit=receiver", "python3", "/run/receiver.py"])

    @property
    def signer(self) -> str:
        """The author's line of allowed signers."""
        return f"{AUTHOR} {self.host.read('/root/author.pub').strip()}"

    @property
    def host_key(self) -> str:
        """Its line of known hosts."""
        return f"{self.address} {self.host.read('/etc/ssh/ssh_host_ed25519_key.pub').strip()}"

    def push(self, stack: str, *, key: str | None = "author", amend: bool = False) -> str:
        """Commit a stack, signed with a key or with none, push it, and return its revision.

        With `amend` it takes the place of the last commit, which the branch then no longer holds.
        """
        self.host.write(PurePosixPath(WORK) / "stack.yaml", stack)
        self._git("add", "stack.yaml")
        sign = ("--no-gpg-sign",) if key is None else (f"--gpg-sign=/root/{key}.pub",)
        self._git(
            "commit", "--quiet", "--message", "Change the stack", *sign, *(["--amend"] if amend else [])
        )
        self._git("push", "--quiet", "--force", "origin", "HEAD:main")
        return self.head

    def reset(self, revision: str) -> None:
        """Move the branch back to a revision."""
        self._git("reset", "--quiet", "--hard", revision)
        self._git("push", "--quiet", "--force", "origin", "HEAD:main")

    def notices(self, revision: str) -> list[Mapping[str, Any]]:
        """What hosts have told of a revision."""
        told = [json.loads(line) for line in self.host.read(NOTICES).splitlines()]
        return [one for one in told if one["revision"] == revision]

    def _git(self, *words: str, at: str = WORK) -> str:
        return self.host.run(["git", "-C", at, *words]).stdout.strip()
