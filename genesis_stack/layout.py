"""Where things are on disk: one tree for the system, one per user, and one under `--root` for tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Layout:
    """The three directories everything else hangs from.

    `config` holds the operator's settings, `state` what must outlive a reboot, `run` what must not.
    """

    config: Path
    state: Path
    run: Path

    @classmethod
    def system(cls) -> Self:
        """The tree of the systemd backend."""
        return cls(Path("/etc/genesis-stack"), Path("/var/lib/genesis-stack"), Path("/run/genesis-stack"))

    @classmethod
    def user(cls) -> Self:
        """The tree of the embedded backend, under the XDG base directories.

        Without XDG_RUNTIME_DIR (no login session, as in cron or a container) `run` is kept beside the state:
        a directory below /tmp could be another user's.
        """
        from platformdirs import PlatformDirs

        dirs = PlatformDirs("genesis-stack", appauthor=False)
        state = dirs.user_state_path
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        run = Path(runtime) / "genesis-stack" if runtime else state / "run"
        return cls(dirs.user_config_path, state, run)

    @classmethod
    def under(cls, root: Path) -> Self:
        """The system tree moved below `root`."""
        return cls(root / "etc/genesis-stack", root / "var/lib/genesis-stack", root / "run/genesis-stack")

    @property
    def root(self) -> Path | None:
        """The directory that everything was moved below, if it was."""
        above = self.config.parent.parent
        return above if above != Path("/") and Layout.under(above) == self else None

    @property
    def secrets(self) -> Path:
        """Secrets by name, a file of mode 0600 each, in a directory that only its owner may enter."""
        return self.config / "secrets"

    @property
    def models(self) -> Path:
        """The content-addressed model store."""
        return self.state / "models"

    @property
    def generations(self) -> Path:
        """One numbered directory per applied stack."""
        return self.state / "generations"

    @property
    def current(self) -> Path:
        """Symbolic link to the generation that is in force."""
        return self.state / "current"

    @property
    def logs(self) -> Path:
        """What servers and the embedded backend's arbiter write, where no journal keeps it."""
        return self.state / "logs"

    @property
    def events(self) -> Path:
        """What the memory guard of the embedded backend did, one JSON object a line."""
        return self.logs / "events.jsonl"

    @property
    def arbiter_log(self) -> Path:
        """Of the embedded backend."""
        return self.logs / "circus.log"

    @property
    def prefix_cache(self) -> Path:
        """Of every server, where the service manager gives it no directory of its own."""
        return self.state / "prefix-cache"

    @property
    def traces(self) -> Path:
        """The spans of every server, likewise."""
        return self.state / "traces"

    @property
    def agent(self) -> Path:
        """What the agent that follows a repository remembers."""
        return self.state / "agent"

    @property
    def synthetic(self) -> Path:
        """Files of random weights, made to measure with."""
        return self.state / "synthetic"

    @property
    def set_aside(self) -> Path:
        """Files of others that changed our services; they are kept."""
        return self.state / "set-aside"

    @property
    def made(self) -> tuple[Path, ...]:
        """Directories whose content is of no use without the servers, apart from models and logs."""
        return (self.generations, self.prefix_cache, self.traces, self.agent, self.synthetic)

    @property
    def state_file(self) -> Path:
        """What the tool knows of the past: results, inventory."""
        return self.state / "state.json"

    @property
    def journal(self) -> Path:
        """The switch in progress, if one was interrupted."""
        return self.state / "journal.json"

    @property
    def arbiter_socket(self) -> Path:
        """Where the embedded backend's arbiter takes orders."""
        return self.run / "circus.sock"

    @property
    def arbiter_events(self) -> Path:
        """Where it tells what happens; the longest of its names."""
        return self.run / "circus-events.sock"

    @property
    def arbiter_pid(self) -> Path:
        """Its process id, also of one that is long dead."""
        return self.run / "circus.pid"

    @property
    def lock(self) -> Path:
        """The lock that one changing run holds."""
        return self.run / "lock"
