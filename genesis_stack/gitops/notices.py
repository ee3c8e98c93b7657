"""Who is told how a revision went, once: Alertmanager, a webhook, the forge's commit status, and a file.

Each way takes a notice by itself. What one did not take is told it again with the next run; what it took is
never told again.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from genesis_stack import durable
from genesis_stack.gitops.record import Files, Notice, Pending, Record
from genesis_stack.layout import Layout
from genesis_stack.render.monitoring.alertmanager import REVISION
from genesis_stack.spec.addresses import authority
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.model import Stack
from genesis_stack.spec.monitoring import Webhook

SECONDS: Final = 10.0
"""Patience with whoever is told."""
LASTS: Final = timedelta(minutes=15)
"""How long Alertmanager may hold a notice before it forgets it: it must never remind anybody."""
STATES: Final = {"applied": "success", "refused": "error", "failed": "failure", "rolled back": "failure"}
"""Outcomes as the commit statuses of GitHub, Gitea and Forgejo call them."""
SEVERITIES: Final = {"applied": "info", "refused": "page", "failed": "ticket", "rolled back": "ticket"}

Way = Callable[[Notice], str]
"""Tells somebody; returns what went wrong, or nothing."""


@dataclass(frozen=True)
class Teller:
    """The ways that a stack declares, by name; `file` is always among them."""

    ways: Mapping[str, Way]

    @classmethod
    def of(cls, stack: Stack | None, gitops: GitOps, layout: Layout) -> Teller:
        """Those of the stack in force; where nobody can read that, those of its section `gitops` alone."""
        ways: dict[str, Way] = {"file": lambda notice: _to_file(notice, layout)}
        alertmanager = _alertmanager(stack) if stack is not None else None
        if gitops.notify is not None and alertmanager is not None:
            receiver = gitops.notify
            ways["alertmanager"] = lambda notice: _post(alertmanager, _alerts(notice, receiver), {})
        if (webhook := gitops.webhook) is not None:
            ways["webhook"] = lambda notice: _call(webhook, notice, notice.model_dump(mode="json"), layout)
        if (status := gitops.commit_status) is not None:
            ways["commit status"] = lambda notice: _call(status, notice, as_commit_status(notice), layout)
        return cls(ways)

    def add(self, record: Record, notice: Notice) -> Record:
        """The record with a notice that is still to be told, unless it was told before."""
        if notice.key in record.told:
            return record
        pending = tuple(Pending(way=way, notice=notice) for way in self.ways)
        return record.model_copy(
            update={"told": (*record.told, notice.key), "pending": (*record.pending, *pending)}
        )

    def tell(self, record: Record, say: Callable[[str], None]) -> Record:
        """Tell what is still to be told; the record keeps what was not taken."""
        left = []
        for one in record.pending:
            way = self.ways.get(one.way)
            trouble = way(one.notice) if way is not None else ""
            if trouble:
                say(f"{one.way} was not told of {one.notice.revision[:12]}: {trouble}; next time")
                left.append(one)
        return record.model_copy(update={"pending": tuple(left)})


def as_commit_status(notice: Notice) -> dict[str, str]:
    """The body of GitHub's, Gitea's and Forgejo's "create a commit status"."""
    generation = "" if notice.generation is None else f"generation {notice.generation}: "
    first = notice.reason.partition("\n")[0]
    return {
        "state": STATES[notice.outcome],
        "context": f"genesis-stack/{notice.host}",
        "description": f"{generation}{notice.outcome}{f': {first}' if first else ''}"[:140],
    }


def _to_file(notice: Notice, layout: Layout) -> str:
    """The status of the last revision, for whoever polls a file."""
    content = {"schema_version": 1, "revision": notice.revision, "time": notice.time}
    path = Files.of(layout).root / "commit-status.json"
    durable.write(path, json.dumps(content | as_commit_status(notice), indent=2) + "\n", 0o644)
    return ""


def _alertmanager(stack: Stack) -> str | None:
    declared = stack.monitoring.alertmanager
    if declared is None:
        return None
    if declared.mode == "managed":
        base = f"http://{authority(declared.listen, declared.port)}"
    elif declared.url is None:
        return None
    else:
        base = declared.url.rstrip("/")
    return f"{base}/api/v2/alerts"


def _alerts(notice: Notice, receiver: str) -> list[dict[str, Any]]:
    """The body of Alertmanager's API v2, "postAlerts"."""
    now = datetime.now(UTC)
    labels = {
        "alertname": REVISION,
        "stack": notice.stack,
        "host": notice.host,
        "revision": notice.revision[:12],
        "outcome": notice.outcome,
        "severity": SEVERITIES[notice.outcome],
        "receiver": receiver,
    }
    summary = f"{notice.host}: revision {notice.revision[:12]} {notice.outcome}"
    annotations = {
        "summary": summary,
        "description": "\n".join(filter(None, (notice.subject, notice.reason))),
    }
    starts, ends = now.isoformat(), (now + LASTS).isoformat()
    return [{"labels": labels, "annotations": annotations, "startsAt": starts, "endsAt": ends}]


def _call(webhook: Webhook, notice: Notice, body: object, layout: Layout) -> str:
    """POST to a declared endpoint; `{revision}` in its URL becomes the revision."""
    try:
        url = webhook.url or (layout.secrets / (webhook.url_secret or "")).read_text().strip()
        token = webhook.token_secret
        bearer = (layout.secrets / token).read_text().strip() if token is not None else ""
    except OSError as error:
        return f"the secret {error.filename} cannot be read: {error.strerror}"
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    trouble = _post(url.replace("{revision}", notice.revision), body, headers)
    return trouble if webhook.url is not None else trouble.replace(url, f"the URL in {webhook.url_secret}")


def _post(url: str, body: object, headers: Mapping[str, str]) -> str:
    request = urllib.request.Request(  # noqa: S310 -- the stack takes only http and https
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):  # noqa: S310 -- as above
            return ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}" if isinstance(error, ValueError) else str(error)
