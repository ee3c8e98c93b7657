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
from click.shell_completion import CompletionItem

from genesis_stack import __version__
from genesis_stack.errors import ExitCode, GenesisError

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
"""Nothing here is a pydantic plugin, and looking for one reads every installed package's metadata."""

VERBS: Final[dict[str, tuple[str, str]]] = {
    "init": ("genesis_stack.cli.init", "Write a stack.yaml that fits this machine."),
    "validate": ("genesis_stack.cli.validate", "Check a stack.yaml and show the memory sum."),
    "schema": ("genesis_stack.cli.schema", "Print the JSON Schema of stack.yaml."),
    "migrate": ("genesis_stack.cli.migrate", "Bring a stack.yaml to the current version of the format."),
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
    "bench": ("genesis_stack.cli.bench", "Measure what this machine can serve, and tune the engine for it."),
    "doctor": ("genesis_stack.cli.doctor", "Find what ails this host, and what heals it."),
    "history": ("genesis_stack.cli.history", "List the generations."),
    "diff": ("genesis_stack.cli.diff", "Compare two generations."),
    "rollback": ("genesis_stack.cli.rollback", "Go back to an earlier generation."),
    "agent": ("genesis_stack.cli.agent", "Follow the stack's branch in git: run, suspend, resume."),
    "clients": ("genesis_stack.cli.clients", "Issue, replace, take back and list the keys of clients."),
    "exporter": ("genesis_stack.cli.exporter", "Serve the host's state to Prometheus."),
    "audit": ("genesis_stack.cli.audit", "Check that the record of who did what is whole."),
    "logs": ("genesis_stack.cli.logs", "Show a model's log."),
    "chat": ("genesis_stack.cli.chat", "Talk to a model in the terminal."),
    "down": ("genesis_stack.cli.down", "Stop every model; keep state and model files."),
    "completion": ("genesis_stack.cli.completion", "Print what makes a shell complete all of this."),
    "destroy": ("genesis_stack.cli.destroy", "Remove everything genesis-stack put on the host."),
}
"""Verb → (module with a click command of the verb's name, the line shown in the overview)."""


DEBUG: Final = click.Option(
    ["--debug"], is_flag=True, expose_value=False, hidden=True, help="Show tracebacks."
)
"""`--debug` after a verb; who asks for it, and where, is read from the whole command line."""


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Verbs in the order of an operator's day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the verb's module and return its command, with its examples."""
        from genesis_stack.cli.manual import add_manual

        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 -- a programming error, not a user's
        add_manual(cmd_name, command)
        _take_debug(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that was asked for; a misspelt one gets the nearest as a hint."""
        if args[0] not in VERBS and not ctx.resilient_parsing:
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Verbs from the table alone, then what every command has."""
        found = [CompletionItem(verb, help=line) for verb, (_, line) in VERBS.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in found if item.value.startswith(incomplete)] + options

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


START: Final = """\b
The first hour:
  genesis-stack init          write a stack.yaml that fits this machine
  genesis-stack plan          see what it would change here
  sudo genesis-stack apply    fetch, verify, start; without root: for your user
  genesis-stack chat          talk to a model

`genesis-stack VERB --help` has examples and exit codes. Data goes to stdout, the story to stderr."""


@click.group(
    cls=LazyGroup,
    epilog=START,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="genesis-stack")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks; also after the verb.")
def genesis_stack() -> None:
    """Run language models on your own servers from one validated stack.yaml."""


def _take_debug(command: click.Command) -> None:
    """Let a command, and those below it, take `--debug`."""
    if DEBUG not in command.params:
        command.params.append(DEBUG)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _take_debug(below)


def main() -> None:
    """Entry point: run the verb and exit with the code that the error asks for."""
    try:
        code = genesis_stack(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.UsageError as error:
        error.show()
        show_as_data(GenesisError(error.format_message(), exit_code=ExitCode.USAGE))
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
    from genesis_stack.cli.colour import show

    show(click.style("error: ", fg="red") + str(error), err=True)
    if error.hint:
        click.echo(f"  hint: {error.hint}", err=True)
    show_as_data(error)


def show_as_data(error: GenesisError) -> None:
    """With `--json`, print an error as data on stdout."""
    if "--json" in sys.argv:
        click.echo(json.dumps({"schema_version": 1, "error": error.document()}))


if __name__ == "__main__":
    main()
