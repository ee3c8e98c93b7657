"""`genesis-stack` on another host, run over ssh(1) with nothing left behind there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis_stack import process
from genesis_stack.errors import GenesisError

CONNECT_SECONDS: Final = 10
"""Patience with a host that does not answer at all."""
SSH_FAILED: Final = 255
"""Exit status of ssh when it was ssh itself that failed; see ssh(1), EXIT STATUS."""
MISSING: Final = 127
FIND: Final = r"""
at=$(command -v genesis-stack) ||
at=$(sed -n 's#^ExecStart="\{0,1\}\(/[^ "]*\)/genesis-\(serve\|stack\).*#\1/genesis-stack#p' \
    /etc/systemd/system/*.service 2>/dev/null | head -n 1)
: "${at:=/opt/genesis-stack/venv/bin/genesis-stack}"
[ -x "$at" ] || { echo 'genesis-stack is not installed' >&2; exit 127; }
"""
"""Finds the program: on the path, beside what the host's units run, or where the guide installs it."""
RUN: Final = f'{FIND}exec "$at" "$@"\n'
RUN_ON_STACK: Final = f"""{FIND}
folder=$(mktemp -d) || exit
trap 'rm -r "$folder"' EXIT
cat >"$folder/stack.yaml"
verb=$1
shift
"$at" "$verb" "$folder/stack.yaml" "$@"
"""


class AwayError(GenesisError):
    """A host cannot be asked."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How to get to hosts: whether to become root there with sudo, and the configuration file of ssh."""

    sudo: bool = False
    config: Path | None = None

    def ask(
        self, address: str, words: Sequence[str], *, stack: str | None = None, timeout: float = 60.0
    ) -> process.Completed:
        """Run `genesis-stack` with these words on the host at `address`, such as ssh://root@host:22.

        With the text of a `stack`, that is its first argument behind the verb, as a file of the host's own.

        Raises:
            AwayError: it does not answer within `timeout` seconds, lets nobody in, or has no genesis-stack.
        """
        program = RUN if stack is None else RUN_ON_STACK
        remote = [*(("sudo", "-n") if self.sudo else ()), "sh", "-c", program, "genesis-stack", *words]
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
        if self.config is not None:
            options += ["-F", str(self.config)]
        argv = ["ssh", *options, "--", address, shlex.join(remote)]
        try:
            done = process.run(argv, check=False, input_text=stack or "", timeout=timeout, exact=True)
        except process.ProcessError as error:  # no ssh here, or no end
            raise AwayError(f"{address}: {error.completed.stderr.strip()}") from None
        except process.NotTextError:
            raise AwayError(f"{address}: what it answers is no text") from None
        if done.returncode in {SSH_FAILED, MISSING}:
            said = done.stderr.strip().splitlines()[-1:] or ["no answer"]
            raise AwayError(f"{address}: {said[0]}", hint=f"try `ssh {address}` yourself")
        return done
