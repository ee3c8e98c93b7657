"""What `--help` says beyond the options: examples of every verb, and the exit codes of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import click

from genesis_stack.errors import ExitCode

MEANING: Final[dict[ExitCode, str]] = {
    ExitCode.CHANGES: "there are changes, or the host has drifted",
    ExitCode.STALE_PLAN: "host or stack changed since the plan was saved",
    ExitCode.ROLLED_BACK: "a gate failed; what served before serves again",
    ExitCode.ROLLBACK_FAILED: "a gate failed, and so did the way back",
    ExitCode.VIOLATED: "something that was promised does not hold",
    ExitCode.CHECKSUM: "a model file is not what the stack declares",
    ExitCode.LOCKED: "another run holds the lock",
    ExitCode.BAD_SIGNATURE: "a signature is missing or wrong",
    ExitCode.INVALID_CONFIG: "the stack or the settings are invalid, or cannot fit",
}
"""Exit codes that depend on the verb; 0, 1, 64 and 130 mean the same for all."""

Examples = tuple[tuple[str, str], ...]
"""Command lines after `genesis-stack`, each with what it does."""


@dataclass(frozen=True, slots=True)
class Manual:
    """Examples of one verb, and its own exit codes."""

    examples: Examples
    exits: tuple[ExitCode, ...] = ()


_CHANGING: Final = (
    ExitCode.ROLLED_BACK,
    ExitCode.ROLLBACK_FAILED,
    ExitCode.LOCKED,
)

MANUALS: Final[dict[str, Manual]] = {
    "init": Manual(
        (
            ("init", "ask a few questions and write ./stack.yaml"),
            ("init --task text --task vision --users 8 --yes", "ask nothing"),
            ("init --model /srv/my-model.gguf my.yaml", "serve a file of your own"),
            ("init --memory 16GiB --cpus 6 -", "print a stack for another machine"),
        ),
        (ExitCode.INVALID_CONFIG,),
    ),
    "validate": Manual(
        (
            ("validate", "check ./stack.yaml and show its memory as a sum"),
            ("validate prod.yaml --no-host", "check it for another machine, as in CI"),
            ("validate --json", "every problem as data"),
        ),
        (ExitCode.INVALID_CONFIG,),
    ),
    "schema": Manual(
        (
            ("schema > stack.schema.json", "for editors and other tools"),
            ("schema --reference", "every key, as a page to read"),
        )
    ),
    "migrate": Manual(
        (
            ("migrate", "rewrite ./stack.yaml for this version of genesis-stack"),
            ("migrate prod.yaml --check", "show what would change"),
        ),
        (ExitCode.CHANGES, ExitCode.INVALID_CONFIG),
    ),
    "models": Manual((("models pull", "fetch every file before an apply needs it"),)),
    "models pull": Manual(
        (
            ("models pull", "fetch and verify the files of ./stack.yaml"),
            ("models pull prod.yaml --root /mnt/stage", "into a store elsewhere"),
        ),
        (ExitCode.CHECKSUM, ExitCode.INVALID_CONFIG),
    ),
    "models verify": Manual(
        (("models verify", "see what changed"), ("models verify --deep", "hash every byte again")),
        (ExitCode.CHECKSUM,),
    ),
    "models list": Manual((("models list", "files, sizes, and who needs them"),)),
    "models gc": Manual(
        (
            ("models gc --dry-run", "show what nothing needs any more"),
            ("models gc --stack prod.yaml", "delete it, but keep what prod.yaml needs"),
            ("models gc --keep 1", "also what only generations before the last change need"),
        ),
        (ExitCode.LOCKED, ExitCode.INVALID_CONFIG),
    ),
    "models import": Manual(
        (("models import /mnt/usb/model.gguf", "a file for a machine without a network"),)
    ),
    "models inspect": Manual(
        (
            ("models inspect smollm2-135m", "what a model of ./stack.yaml says of itself"),
            ("models inspect ./model.gguf --json", "a file, as data"),
        )
    ),
    "render": Manual(
        (
            ("render", "write units/ and alerts/ beside ./stack.yaml"),
            ("render stack.yaml --check", "fail in CI when they were not committed"),
        ),
        (ExitCode.CHANGES, ExitCode.INVALID_CONFIG),
    ),
    "plan": Manual(
        (
            ("plan", "what apply would change, why, and what it costs"),
            ("plan -o change.plan", "save what was read; apply it with `apply change.plan`"),
            ("plan --host beta", "what it would change on another host of the stack, over SSH"),
            ("plan --exit-code", "for scripts: 2 when there are changes"),
        ),
        (ExitCode.CHANGES, ExitCode.INVALID_CONFIG),
    ),
    "apply": Manual(
        (
            ("apply", "make this machine match ./stack.yaml"),
            ("apply change.plan", "do what was planned, and nothing else"),
            ("apply prod.yaml --gate smoke", "keep it only if a load test passes"),
            ("apply --lock-timeout 5m", "wait for a run that is under way"),
        ),
        (ExitCode.STALE_PLAN, *_CHANGING, ExitCode.CHECKSUM, ExitCode.INVALID_CONFIG),
    ),
    "status": Manual(
        (
            ("status", "sync and health, apart"),
            ("status --watch", "the same, live, until Ctrl-C"),
            ("status --all", "every host of the stack, over SSH"),
            ("status --json", "as data"),
        )
    ),
    "dashboard": Manual(
        (("dashboard", "open the address it prints"), ("dashboard --port 0", "on a free port"))
    ),
    "cost": Manual(
        (
            ("cost", "with the prices of the applied stack"),
            ("cost prices.yaml --json", "with those of another file"),
        )
    ),
    "drift": Manual((("drift", "what was changed behind your back"),), (ExitCode.CHANGES,)),
    "verify": Manual(
        (
            ("verify", "prove that this machine holds what ./stack.yaml promises"),
            ("verify prod.yaml --host ssh://root@203.0.113.7", "another machine"),
            ("verify --all", "every host of the stack"),
            ("verify --html report.html --junit report.xml", "with reports"),
        ),
        (ExitCode.VIOLATED, ExitCode.INVALID_CONFIG),
    ),
    "load": Manual(
        (
            ("load --profile smoke", "hold the models to their promises for a minute"),
            ("load --profile steady --report run.html", "and write a report"),
            ("load --baseline run.json", "fail if it got worse than a stored run"),
        ),
        (ExitCode.VIOLATED, ExitCode.INVALID_CONFIG),
    ),
    "bench": Manual(
        (
            ("bench", "what this machine can serve of the only model of ./stack.yaml"),
            ("bench --synthetic llama-3.1-8b --quick", "of a model, before its weights are downloaded"),
            ("bench --model chat --patch tuned.patch", "write the better settings as a patch"),
        ),
        (ExitCode.VIOLATED, ExitCode.INVALID_CONFIG),
    ),
    "doctor": Manual((("doctor", "causes, the one to heal first at the beginning"),), (ExitCode.VIOLATED,)),
    "history": Manual((("history", "every apply and how it went"),)),
    "diff": Manual((("diff 3 4", "what generation 4 changed"),)),
    "rollback": Manual(
        (("rollback", "to what ran before"), ("rollback 3", "to generation 3 of `history`")), _CHANGING
    ),
    "agent": Manual((("agent status", "what is in force, and what the branch holds"),)),
    "agent run-once": Manual(
        (("agent run-once", "what the timer does each minute"),),
        (
            ExitCode.ROLLED_BACK,
            ExitCode.ROLLBACK_FAILED,
            ExitCode.CHECKSUM,
            ExitCode.LOCKED,
            ExitCode.BAD_SIGNATURE,
            ExitCode.INVALID_CONFIG,
        ),
    ),
    "agent status": Manual((("agent status --json", "the agent's whole record"),)),
    "agent suspend": Manual((('agent suspend --reason "its disk is replaced"', "follow and heal nothing"),)),
    "agent resume": Manual(
        (
            ("agent resume", "follow the branch again, and try again what failed"),
            ("agent resume --adopt 3f9ac0d2b1e4", "follow a branch that was moved on purpose"),
        ),
        (ExitCode.LOCKED,),
    ),
    "clients": Manual((("clients add my-app", "issue a key to a declared client"),)),
    "clients list": Manual((("clients list", "every key, without the keys"),)),
    "clients add": Manual(
        (
            ("clients add my-app", "show a new key, this once"),
            ("clients add my-app --stack stack.yaml", "before the first apply"),
        ),
        (ExitCode.LOCKED,),
    ),
    "clients rotate": Manual(
        (("clients rotate my-app --overlap 1h", "both keys are good for an hour"),), (ExitCode.LOCKED,)
    ),
    "clients revoke": Manual(
        (
            ("clients revoke my-app 8f2c91", "one key, by its id"),
            ("clients revoke my-app --all", "all of them, from the next request on"),
        ),
        (ExitCode.LOCKED,),
    ),
    "exporter": Manual(
        (("exporter --port 9180", "what a stack with monitoring runs by itself"),),
    ),
    "audit": Manual((("audit verify", "follow the record of the only model"),)),
    "audit verify": Manual(
        (
            ("audit verify --model smollm2-135m", "wherever its server keeps it"),
            (
                "audit verify --anchor 3f9ac0d2b1e4 --model smollm2-135m",
                "it must contain a head noted before",
            ),
        ),
        (ExitCode.VIOLATED,),
    ),
    "logs": Manual(
        (
            ("logs", "the last 100 lines of the only model"),
            ("logs llama-3-1-8b -f", "go on until Ctrl-C"),
            ("logs monitor.prometheus -n 20", "of a program that watches"),
            ("logs gitops.agent", "of the agent that follows a branch"),
        )
    ),
    "chat": Manual(
        (
            ("chat", "talk to the only model; Ctrl-D ends"),
            ('chat llama-3-1-8b -m "Why is the sky blue?"', "one question, for scripts"),
        )
    ),
    "down": Manual((("down", "stop serving; `apply` starts again"),), (ExitCode.LOCKED,)),
    "completion": Manual(
        (
            ("completion bash > /etc/bash_completion.d/genesis-stack", "for everyone who uses bash"),
            ("completion zsh > ~/.zfunc/_genesis-stack", "zsh; ~/.zfunc must be in its fpath"),
            ("completion fish > ~/.config/fish/completions/genesis-stack.fish", "fish"),
        )
    ),
    "destroy": Manual(
        (("destroy", "asks first"), ("destroy --yes --keep-models", "spares the downloads")),
        (ExitCode.LOCKED,),
    ),
}
"""Verb, or verb and verb below it → its manual."""


def add_manual(verb: str, command: click.Command) -> None:
    """Give a command, and those below it, their examples and exit codes as an epilog."""
    if verb in MANUALS:
        command.epilog = _epilog(MANUALS[verb])
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            add_manual(f"{verb} {name}", below)


def _epilog(manual: Manual) -> str:
    lines = ["\b", "Examples:"]
    for words, what in manual.examples:
        lines += [f"  genesis-stack {words}", f"      {what}"]
    if manual.exits:
        lines += ["", "\b", "Exit codes, beside 0 done, 1 failed, 64 usage and 130 interrupted:"]
        lines += [f"  {int(code):<3} {MEANING[code]}" for code in sorted(manual.exits)]
    return "\n".join(lines)
