"""Git as the truth: what the agent of a host follows, and what it insists on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genesis_stack.spec.fields import Frozen, Name, Pattern, Url
from genesis_stack.spec.monitoring import Webhook
from genesis_stack.spec.units import Duration

Repository = Annotated[
    str,
    Pattern(
        r"^(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9_./~-]+"
        r"|ssh://([A-Za-z_][A-Za-z0-9_.-]*@)?[A-Za-z0-9.-]+(:[0-9]{1,5})?/[A-Za-z0-9_./~-]+"
        r"|[A-Za-z_][A-Za-z0-9_.-]*@[A-Za-z0-9.-]+:[A-Za-z0-9_./~-]+"
        r"|file:///[A-Za-z0-9_./-]+)$",
        "a git URL: https://host/path, ssh://[user@]host/path, user@host:path or file:///path",
        "credentials belong in git's own configuration or an SSH key, not in the URL",
    ),
]
Branch = Annotated[
    str,
    Pattern(r"^(?!.*(\.\.|//|\.lock$|\.$|/$))[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}$", "the name of a branch"),
]
RepositoryPath = Annotated[
    str,
    Pattern(
        r"^(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9_.][A-Za-z0-9_./-]{0,199}$",
        "a path inside the repository, without .. steps",
    ),
]


class Canary(Frozen):
    """The host that goes first; the others wait until it has proved the change."""

    host: Name = Field(description="One of hosts.")
    profile: Name | None = Field(
        default=None, description="Load profile that must hold there; absent: health alone."
    )
    report: Url | None = Field(
        default=None, description="Where its result is published; absent: a branch of the repository."
    )


class GitOps(Frozen):
    """What the agent follows."""

    repository: Repository = Field(description="Where the stack is kept.")
    branch: Branch = Field(default="main", description="Branch to follow, forward only.")
    path: RepositoryPath = Field(default="stack.yaml", description="The stack inside the repository.")
    interval: Duration = Field(default=60.0, ge=10, description="How often to look.")
    verify: Literal["strict", "head", "off"] = Field(
        default="strict",
        description="strict: every new commit must be signed by someone the host allows; head: the last one.",
    )
    self_heal: bool = Field(default=True, description="Put back what was changed on the host by hand.")
    prune: bool = Field(default=False, description="Remove models from the host that left the stack.")
    notify: Name | None = Field(default=None, description="Alertmanager receiver told once per revision.")
    webhook: Webhook | None = Field(
        default=None, description="HTTP endpoint told once per revision by the agent itself."
    )
    commit_status: Webhook | None = Field(
        default=None,
        description="Commit status API of the forge (GitHub, Gitea, Forgejo); {revision} in its URL becomes "
        "the commit.",
    )
    canary: Canary | None = Field(default=None, description="The host that goes first.")
