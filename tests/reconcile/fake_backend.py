"""A process manager without processes: real files under a root, servers as lines of a JSON file.

A server "runs" with the config that was on disk when it was started, and its health echoes just that, so
that a restart that was left out shows. What it knows survives the tool being killed, like a real one's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

from genesis_stack import durable
from genesis_stack.backends import (
    Desired,
    Foreign,
    Health,
    LintError,
    Monitor,
    Observation,
    ObservedService,
    Phase,
    Service,
)
from genesis_stack.backends.files import read_files
from genesis_stack.layout import Layout
from genesis_stack.protocol.serve_config import ServeConfig
from genesis_stack.render import RenderedFile, ResolvedModel
from genesis_stack.render.serve import config_file, config_path
from genesis_stack.spec.model import Stack

BROKEN = "broken"
"""A description that makes a model's server start and never become ready."""
REFUSED = "refused"
"""A description that no lint lets pass."""


class FakeBackend:
    """Servers in `<state>/fake.json`; a config is the one file that each needs."""

    name = "fake"
    unenforced = ()
    hands_over_secrets = False

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.memory = layout.run / "fake.json"

    @property
    def caches(self) -> tuple[Path, ...]:
        """One, beside the layout."""
        return (self.layout.state.with_name("fake-cache"),)

    @property
    def logs(self) -> tuple[Path, ...]:
        """One of links to the other, as systemd makes them for users that come and go."""
        return tuple(self.layout.state.with_name(name) for name in ("fake-log", "fake-log-private"))

    def render(self, stack: Stack, resolved: Mapping[str, ResolvedModel]) -> tuple[RenderedFile, ...]:
        """A config a model, and one file that they share."""
        configs = (config_file(stack, name, resolved[name], self.layout, owner="") for name in stack.models)
        shared = RenderedFile(self._shared, "\n".join(stack.models) + "\n", 0o644, "")
        return (shared, *configs)

    @property
    def _shared(self) -> PurePosixPath:
        return PurePosixPath(self.layout.config) / "shared.conf"

    def triggers(self, model: str) -> tuple[tuple[PurePosixPath, ...], tuple[PurePosixPath, ...]]:
        """The config restarts the server."""
        return (config_path(model, self.layout),), ()

    def live(self, path: PurePosixPath) -> Path:
        """As it is."""
        return Path(path)

    def running(self) -> dict[str, str]:
        """Model → text of the config that its server was started with."""
        try:
            found: dict[str, str] = json.loads(self.memory.read_text())
        except FileNotFoundError:
            return {}
        return found

    def _remember(self, running: Mapping[str, str]) -> None:
        self.memory.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.memory.with_suffix(".new")
        scratch.write_text(json.dumps(dict(running)))
        scratch.rename(self.memory)

    def observe(self, desired: Desired, known: Sequence[PurePosixPath]) -> Observation:
        """Files and servers; a file `*.drop-in` beside the configs is a stranger's."""
        contents, modes = read_files([*desired.files, *known], self.live)
        drop_ins = sorted((self.layout.config / "models").glob("*.drop-in"))
        foreign = tuple(Foreign(path, path.stem, path.read_text()) for path in drop_ins)
        return Observation(contents, modes, self.processes(desired.services), foreign)

    def processes(self, services: Mapping[str, Service]) -> Mapping[str, ObservedService]:
        """Running or stopped."""
        running = self.running()
        return {
            model: ObservedService(Phase.RUNNING, pid=1)
            if model in running
            else ObservedService(Phase.STOPPED)
            for model in services
        }

    def health(self, service: Service) -> Health:
        """Ready with the digests it was started with, unless its description says otherwise."""
        content = self.running().get(service.model)
        if content is None:
            return Health("unreachable")
        config = ServeConfig.model_validate_json(content)
        if config.description == BROKEN:
            return Health("failed", detail="as it was told")
        return Health("ready", config.weights.sha256, sha256(content.encode()).hexdigest())

    def lint(self, staged: Path, desired: Desired) -> None:
        """Refuses what asks for it."""
        for path in desired.files:
            if f'"{REFUSED}"' in (staged / path.relative_to("/")).read_text():
                raise LintError(f"{path}: refused")

    def remark(self, path: PurePosixPath, before: str | None, after: str) -> str:
        """Nothing."""
        del path, before, after
        return ""

    def reload(self, desired: Desired) -> None:
        """Nothing to read."""
        durable.step(f"reload {desired.name}")

    def start(self, service: Service) -> None:
        """Run with what is on disk now."""
        durable.step(f"start {service.model}")
        content = Path(config_path(service.model, self.layout)).read_text()
        self._remember(self.running() | {service.model: content})

    restart = start

    def release(self, model: str) -> None:
        """Stop."""
        durable.step(f"stop {model}")
        self._remember({name: content for name, content in self.running().items() if name != model})

    stop = release

    def start_beside(self, service: Service) -> None:
        """Not planned for: no model here asks for it."""
        raise NotImplementedError

    def finish_beside(self, service: Service, *, keep_new: bool) -> None:
        """Likewise."""
        raise NotImplementedError

    def monitors(self, stack: Stack) -> tuple[Monitor, ...]:
        """None."""
        del stack
        return ()

    def start_monitor(self, monitor: Monitor) -> None:
        """Never asked for."""
        raise NotImplementedError

    reload_monitor = start_monitor

    def stop_monitor(self, name: str) -> None:
        """Never asked for."""
        raise NotImplementedError

    forget_monitor = stop_monitor

    def shutdown(self) -> None:
        """No process of its own."""

    def log_tail(self, model: str, lines: int) -> list[str]:
        """One line."""
        return [f"{model} wrote this"][:lines]

    def follow_log(self, model: str, lines: int) -> Iterator[str]:
        """The same."""
        yield from self.log_tail(model, lines)
