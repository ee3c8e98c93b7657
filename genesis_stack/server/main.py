"""The program `genesis-serve`: one model behind OpenAI's API.

It listens on the sockets it inherits (sd_listen_fds(3)), on `--fd`, on `--listen`, or where its
configuration says. It accepts at once and answers `/health` while the model loads. SIGTERM drains.
Exit codes: 0 after a drain, 1 when the engine failed, 64 for a wrong command line, 65 for a model file
that changed, 71 when it cannot listen, 78 for an invalid configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genesis_stack.engine.template_process import TemplateProcess
from genesis_stack.server.config_file import ConfigError, ConfigFile
from genesis_stack.server.listeners import ListenError, from_fd, inherited, opened
from genesis_stack.server.served_model import ServedModel

if TYPE_CHECKING:
    from genesis_stack.engine.interface import Engine
    from genesis_stack.protocol.serve_config import ListenConfig, ServeConfig
    from genesis_stack.server.lifecycle import Lifecycle
    from genesis_stack.server.served_model import EngineFactory


def main(argv: Sequence[str] | None = None, *, engine: EngineFactory | None = None) -> NoReturn:
    """Serve until told to stop; `engine` is replaced in tests."""
    arguments = _parser().parse_args(argv)
    try:
        file = ConfigFile.read(arguments.config)
        listeners = _listeners(arguments, file.config.listen)
    except ConfigError as exc:
        _fail(str(exc), exc.exit_code)
    except ListenError as exc:
        _fail(str(exc), os.EX_OSERR)
    try:
        sys.exit(asyncio.run(_serve(file, listeners, engine or _llama_engine)))
    except ConfigError as exc:
        _fail(str(exc), exc.exit_code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(f"{message}\n{self.format_usage().rstrip()}", os.EX_USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="genesis-serve", description="Serve one model over OpenAI's API.")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="rendered configuration, JSON"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--fd", type=int, metavar="N", help="inherited descriptor of a listening socket")
    where.add_argument("--listen", type=_address, metavar="HOST:PORT", help="instead of what the file says")
    return parser


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 -- the ports' end
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _listeners(arguments: argparse.Namespace, configured: ListenConfig) -> list[socket.socket]:
    """The command line goes before the service manager, and that before the file."""
    if arguments.fd is not None:
        return [from_fd(arguments.fd)]
    if arguments.listen is not None:
        return [opened(*arguments.listen)]
    return inherited(os.environ) or [opened(configured.host, configured.port)]


def _fail(message: str, exit_code: int) -> NoReturn:
    for line in message.splitlines():
        print(f"genesis-serve: {line}", file=sys.stderr)  # noqa: T201 -- before there is a log
    sys.exit(exit_code)


async def _serve(file: ConfigFile, listeners: list[socket.socket], engine: EngineFactory) -> int:
    """Begin to load at once: while llama.cpp reads the model, Python imports the web server."""
    served = ServedModel(file.config, file.digest, TemplateProcess())
    loading = asyncio.create_task(served.load(engine))
    lifecycle = await asyncio.to_thread(_lifecycle)
    return await lifecycle(file, served, loading).run(listeners)


def _lifecycle() -> type[Lifecycle]:
    from genesis_stack.server.lifecycle import Lifecycle

    return Lifecycle


async def _llama_engine(config: ServeConfig) -> Engine:
    """Import llama.cpp in a thread, beside the web server."""

    def load() -> Engine:
        os.environ.setdefault("GOMP_SPINCOUNT", str(config.engine.spin_count))  # read when libgomp is loaded
        from genesis_stack.engine.llama import LlamaEngine

        return LlamaEngine(config)

    return await asyncio.to_thread(load)


if __name__ == "__main__":
    main()
