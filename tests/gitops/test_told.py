"""Who is told how a revision went: once, whatever happens on the way."""

from __future__ import annotations

import json
from pathlib import Path

from reconcile.fake_backend import BROKEN

from gitops.followed import Followed, host_that_follows
from gitops.listener import Listener


def test_a_revision_is_told_once(tmp_path: Path, listener: Listener) -> None:
    """However often the agent looks."""
    followed = host_that_follows(tmp_path, {"webhook": {"url": f"{listener.url}/hook"}})
    good = followed.commit({"a": "two"})
    followed.follow()
    followed.follow()
    bad = followed.commit({"a": BROKEN})
    for _ in range(3):
        followed.follow()
    told = [(body["revision"], body["outcome"]) for _, _, body in listener.heard]
    assert told[1:] == [(good, "applied"), (bad, "rolled back")]
    assert listener.heard[-1][2]["reason"]


def test_who_could_not_be_told_is_told_with_the_next_run(tmp_path: Path, listener: Listener) -> None:
    """And then once."""
    followed = host_that_follows(tmp_path, {"webhook": {"url": listener.url}})
    listener.heard.clear()
    listener.status = 503
    revision = followed.commit({"a": "two"}, signer=None)
    followed.follow()
    assert listener.heard == []
    assert any("webhook was not told" in line for line in followed.world.told)
    assert not followed.files.rest.exists()
    listener.status = 200
    followed.follow()
    followed.follow()
    assert [(body["revision"], body["outcome"]) for _, _, body in listener.heard] == [(revision, "refused")]


def test_the_forge_learns_the_commit_s_status(tmp_path: Path, listener: Listener) -> None:
    """At the URL of the commit, with the token, in the words of its API; and a file has the same."""
    declared = {"url": f"{listener.url}/repos/o/r/statuses/{{revision}}", "token_secret": "forge"}
    followed = Followed(tmp_path, {"commit_status": declared})
    followed.layout.secrets.mkdir(mode=0o700, parents=True)
    (followed.layout.secrets / "forge").write_text("s3cret\n")
    revision = followed.commit({"a": "one"})
    followed.by_hand({"a": "zero"})
    followed.follow()
    path, headers, body = listener.heard[-1]
    assert (path, headers["Authorization"]) == (f"/repos/o/r/statuses/{revision}", "Bearer s3cret")
    assert body["state"] == "success"
    assert body["context"].startswith("genesis-stack/")
    on_file = json.loads((followed.files.root / "commit-status.json").read_text())
    assert body.items() <= on_file.items()
    assert on_file["revision"] == revision
    kept = (followed.files.record, followed.files.root / "commit-status.json")
    assert all("s3cret" not in path.read_text() for path in kept)


def test_alertmanager_is_told_who_is_to_hear_it(tmp_path: Path, listener: Listener) -> None:
    """In its API's words; a notice ends by itself."""
    monitoring = {
        "prometheus": {"mode": "external", "rules_dir": "/etc/p/rules", "scrape_dir": "/etc/p/targets"},
        "alertmanager": {
            "mode": "external",
            "url": listener.url,
            "receivers": {"ops": {"webhook": {"url": listener.url}}},
        },
    }
    followed = host_that_follows(tmp_path, {"notify": "ops"}, monitoring=monitoring)
    followed.commit({"a": "two"}, signer="stranger")
    followed.follow()
    path, _, (alert,) = listener.heard[-1]
    assert path == "/api/v2/alerts"
    labels = alert["labels"]
    assert (labels["alertname"], labels["outcome"], labels["severity"]) == ("Revision", "refused", "page")
    assert (labels["receiver"], labels["stack"]) == ("ops", "world")
    assert alert["startsAt"] < alert["endsAt"]
