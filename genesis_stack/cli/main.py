"""`genesis-stack`: finds the verb, imports only its module, and turns errors into messages.

`--help` must not import a verb: the table below carries the one line that the overview needs.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Final

import click

from genesis_stack import __version__
from genesis_stack.errors import ExitCode, GenesisError

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
"""Nothing here is a pydantic plugin, and looking for one reads every installed package's metadata."""

VERBS: Final[dict[str, tuple[str, str]]] = {
    "validate": ("genesis_stack.cli.validate", "Check a stack.yaml and show the memory sum."),
    "schema": ("genesis_stack.cli.schema", "Print the JSON Schema of stack.yaml."),
    "models": ("genesis_stack.cli.models", "Pull, verify, list, inspect and collect model files."),
    "render": ("genesis_stack.cli.render", "Write the units and configs a stack renders to."),
    "plan": ("genesis_stack.cli.plan", "Show what apply would change, and why."),
    "apply": ("genesis_stack.cli.apply", "Make the host match the stack."),
    "status": ("genesis_stack.cli.status", "Show sync and health of every model."),
    "dashboard": ("genesis_stack.cli.dashboard", "Show the models on a page on loopback, live."),
    "cost": ("genesis_stack.cli.cost", "Compare what the host costs with a cloud's price."),
    "drift": ("genesis_stack.cli.drift", "Show where the host has left the current generation."),
    "verify": ("genesis_stack.cli.verify", "Prove that a host holds what the stack promises."),
    "load": ("genesis_stack.cli.load", "Put load on the models and hold them to their promises."),
    "doctor": ("genesis_stack.cli.doctor", "Find what ails this host, and what heals it."),
    "history": ("genesis_stack.cli.history", "List the generations."),
    "diff": ("genesis_stack.cli.diff", "Compare two generations."),
    "rollback": ("genesis_stack.cli.rollback", "Go back to an earlier generation."),
    "clients": ("genesis_stack.cli.clients", "Issue, replace, take back and list the keys of clients."),
    "exporter": ("genesis_stack.cli.exporter", "Serve the host's state to Prometheus."),
    "audit": ("genesis_stack.cli.audit", "Check that the record of who did what is whole."),
    "logs": ("genesis_stack.cli.logs", "Show a model's log."),
    "chat": ("genesis_stack.cli.chat", "Talk to a model in the terminal."),
    "down": ("genesis_stack.cli.down", "Stop every model; keep state and model files."),
    "destroy": ("genesis_stack.cli.destroy", "Remove everything genesis-stack put on the host."),
}
"""Verb → (module with a click command of the verb's name, the line shown in the overview)."""


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Verbs in the order of an operator's day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the verb's module and return its command."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 -- a programming error, not a user's
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genesis-stack")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def genesis_stack(ctx: click.Context, debug: bool) -> None:
    """Run language models on your own servers from one validated stack.yaml."""
    ctx.obj = {"debug": debug}


def main() -> None:
    """Entry point: run the verb and exit with the code that the error asks for."""
    try:
        code = genesis_stack(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.UsageError as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except GenesisError as error:
        if "--debug" in sys.argv:
            raise
        report(error)
        sys.exit(error.exit_code)
    except OSError as error:  # a full or failing disk, a directory that is not ours
        if "--debug" in sys.argv:
            raise
        report(GenesisError(f"{error.filename or 'this machine'}: {error.strerror or error}"))
        sys.exit(ExitCode.FAILED)


def report(error: GenesisError) -> None:
    """Show an error on stderr; with `--json` on stdout also as data."""
    click.secho("error: ", fg="red", nl=False, err=True)
    click.echo(str(error), err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)
    if "--json" in sys.argv:
        click.echo(json.dumps({"schema_version": 1, "error": error.document()}))


if __name__ == "__main__":
    main()
