"""The host that goes first, and what it says of a revision so that the others may follow.

A verdict can release a revision or stop it, and nothing else: what a host applies comes from the followed
branch alone, under the same signatures with a canary as without one. The canary signs its verdicts with a
key of its own, in a namespace in which no commit is verified, so that it can vouch for a change and not
make one; see ssh-keygen(1), "ALLOWED SIGNERS", `namespaces`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from genesis_stack import process
from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops.board import Board, BranchBoard, UrlBoard
from genesis_stack.gitops.repository import Repository
from genesis_stack.gitops.signatures import Signers
from genesis_stack.layout import Layout
from genesis_stack.spec.model import Stack

NAMESPACE: Final = "genesis-canary"
"""Of the signatures; the branch of the verdicts begins with it, too."""
KEY: Final = "canary-key"
"""Secret of the canary host: an SSH private key without a passphrase."""
TOKEN: Final = "canary-token"  # noqa: S105 -- its name
"""Secret of every host that the URL of the verdicts asks for one."""
MOST_REASON: Final = 2_000
"""Characters of a reason that are published."""


class BadVerdictError(GenesisError):
    """What stands there was not said by the canary."""

    exit_code = ExitCode.BAD_SIGNATURE


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CanaryVerdict(_Frozen):
    """What the canary says of a revision of a stack; `time`, in UNIX seconds, is for people alone."""

    schema_version: Literal[1] = 1
    revision: str
    stack: str
    host: str
    passed: bool
    reason: str = ""
    time: float


class SignedVerdict(_Frozen):
    """The published document: the very text that was signed, and its armoured SSH signature."""

    schema_version: Literal[1] = 1
    verdict: str
    signature: str | None


@dataclass(frozen=True, slots=True)
class Canary:
    """The canary of a stack as one of its hosts sees it.

    `here` is this host and `host` the canary. `signers` is None where signatures are not asked for; `key`
    is this host's own, which only the canary needs.
    """

    stack: str
    host: str
    here: str
    board: Board
    signers: Signers | None
    key: Path

    @classmethod
    def of(cls, stack: Stack, here: str | None, repository: Repository, layout: Layout) -> Self | None:
        """The canary that the stack declares, if it does; `here` is the name of this host."""
        gitops = stack.gitops
        if gitops is None or gitops.canary is None or here is None:
            return None
        declared = gitops.canary
        board: Board
        if declared.report is not None:
            board = UrlBoard(declared.report, layout.secrets / TOKEN)
        else:
            board = BranchBoard(repository, f"refs/heads/{NAMESPACE}/{gitops.branch}/{stack.name}")
        trusted = None if gitops.verify == "off" else Signers.of(layout)
        return cls(stack.name, declared.host, here, board, trusted, layout.secrets / KEY)

    @property
    def leads(self) -> bool:
        """Whether this host is the canary."""
        return self.here == self.host

    def publish(self, revision: str, *, passed: bool, reason: str = "") -> None:
        """Tell the others how the revision held here; replaces what was told of an earlier one.

        Raises:
            GenesisError: it cannot be signed, or the board does not take it; the others go on waiting.
        """
        verdict = CanaryVerdict(
            revision=revision,
            stack=self.stack,
            host=self.here,
            passed=passed,
            reason=reason[:MOST_REASON],
            time=round(time.time(), 3),
        )
        text = verdict.model_dump_json()
        signed = SignedVerdict(verdict=text, signature=self._sign(text))
        message = f"{revision[:12]} {'holds' if passed else 'does not hold'} on {self.here}"
        self.board.write(signed.model_dump_json(indent=2) + "\n", message)

    def verdict_on(self, revision: str) -> CanaryVerdict | None:
        """What the canary says of this revision; None while it says nothing, or speaks of another.

        Raises:
            BadVerdictError: what stands there is damaged, or the canary has not signed it.
            GenesisError: the board cannot be read.
        """
        document = self.board.read()
        if document is None:
            return None
        try:
            signed = SignedVerdict.model_validate_json(document)
            verdict = CanaryVerdict.model_validate_json(signed.verdict)
        except ValidationError as error:
            what = f"the verdict of the canary {self.host} is damaged"
            raise BadVerdictError(f"{what}: {error.error_count()} of its fields are wrong") from None
        self._check(signed)
        about = (verdict.revision, verdict.stack, verdict.host)
        return verdict if about == (revision, self.stack, self.host) else None

    def _sign(self, text: str) -> str | None:
        if self.signers is None:
            return None
        if not self.key.is_file():
            make = f"ssh-keygen -t ed25519 -N '' -f {self.key}; chmod 600 {self.key}.pub"
            raise GenesisError(
                f"this canary has no key to sign its verdicts with: {self.key}",
                hint=f'{make}; then let every host allow it as {self.here} with namespaces="{NAMESPACE}"',
            )
        argv = ("ssh-keygen", "-q", "-Y", "sign", "-f", self.key, "-n", NAMESPACE)
        return process.run(argv, input_text=text).stdout

    def _check(self, signed: SignedVerdict) -> None:
        """See that the canary, by its name in the allowed signers, has signed the text."""
        if self.signers is None:
            return
        with tempfile.NamedTemporaryFile("w", prefix="genesis-verdict-") as signature:
            signature.write(signed.signature or "")
            signature.flush()
            revoked = ("-r", self.signers.revoked) if self.signers.revoked.exists() else ()
            who = ("-I", self.host, "-n", NAMESPACE, "-s", signature.name, *revoked)
            argv = ("ssh-keygen", "-Y", "verify", "-f", self.signers.ssh, *who)
            done = process.run(argv, check=False, input_text=signed.verdict)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["ssh-keygen says nothing"]
            raise BadVerdictError(
                f"the verdict of the canary {self.host} is not signed by it: {said[0]}",
                hint=f'{self.signers.ssh} needs a line `{self.host} namespaces="{NAMESPACE}" ssh-ed25519 …`',
            )
