"""Whether commits are signed by someone whom the host allows; see git-verify-commit(1) and ssh-keygen(1).

Whom the host allows stands on the host alone: SSH keys in `allowed_signers`, revoked ones in
`revoked_signers`, PGP keys in the keyring of `gnupg`. Which programs check a signature, and against what, is
said on git's command line, so that no configuration of a repository can have a word in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from genesis_stack.errors import ExitCode, GenesisError
from genesis_stack.gitops.repository import Repository
from genesis_stack.layout import Layout

Mode = Literal["strict", "head", "off"]
MOST_TOLD: Final = 5
"""Commits that a refusal names."""


class RefusedError(GenesisError):
    """A revision that must not be followed: signed by nobody allowed, or not on top of what is applied."""

    exit_code = ExitCode.BAD_SIGNATURE


@dataclass(frozen=True, slots=True)
class Signers:
    """Where the host keeps whom it allows."""

    ssh: Path
    revoked: Path
    gnupg: Path

    @classmethod
    def of(cls, layout: Layout) -> Self:
        """Beside the operator's other settings."""
        config = layout.config
        return cls(config / "allowed_signers", config / "revoked_signers", config / "gnupg")

    @property
    def files(self) -> tuple[Path, ...]:
        """What decides; a refused revision is looked at again when one of them changes."""
        return (self.ssh, self.revoked, self.gnupg, self.gnupg / "pubring.kbx")

    @property
    def _config(self) -> tuple[str, ...]:
        """Settings of git-config(1), "gpg.*"; X.509 is not offered."""
        revoked = (f"gpg.ssh.revocationFile={self.revoked}",) if self.revoked.exists() else ()
        return (
            "gpg.ssh.program=ssh-keygen",
            f"gpg.ssh.allowedSignersFile={self.ssh}",
            *revoked,
            "gpg.program=gpg",
            "gpg.openpgp.program=gpg",
            "gpg.x509.program=false",
        )

    def objection(self, repository: Repository, revision: str) -> str | None:
        """What speaks against the signature of one commit; None when someone allowed has signed it."""
        return repository.verify_commit(revision, self._config, {"GNUPGHOME": str(self.gnupg)})


def check(repository: Repository, old: str | None, new: str, mode: Mode, signers: Signers) -> None:
    """See that `new` may be followed from `old`: forward only, and signed as `mode` asks.

    `strict` looks at every commit between the two, merged branches included. On a host that follows nothing
    yet there is no `old`, and `new` alone is looked at.

    Raises:
        RefusedError: it may not.
    """
    if old is not None and not repository.is_ancestor(old, new):
        raise RefusedError(
            f"{repository.branch} was moved: {new[:12]} does not stand on {old[:12]}, which is in force",
            hint=f"push it on top, or `genesis-stack agent resume --adopt {new}` on this host",
        )
    if mode == "off" or old == new:
        return
    if not (signers.ssh.is_file() or signers.gnupg.is_dir()):
        raise RefusedError(
            f"nobody is allowed to sign: there is no {signers.ssh} and no {signers.gnupg}",
            hint=f"write `you@example.org ssh-ed25519 AAAA…` into {signers.ssh}",
        )
    commits = repository.commits(old, new) if mode == "strict" and old is not None else (new,)
    objections = list(_objections(repository, commits, signers))
    if objections:
        more = [f"and {len(objections) - MOST_TOLD} more"] if len(objections) > MOST_TOLD else []
        lines = [f"not signed by anyone whom {signers.ssh.parent} allows:", *objections[:MOST_TOLD], *more]
        raise RefusedError("\n  ".join(lines), hint="sign them and push again, or allow their signer here")


def _objections(repository: Repository, commits: tuple[str, ...], signers: Signers) -> Iterator[str]:
    for revision in commits:
        against = signers.objection(repository, revision)
        if against is not None:
            commit = repository.commit(revision)
            yield f"{revision[:12]} {commit.subject!r} of {commit.author}: {against}"
