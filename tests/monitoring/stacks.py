"""Stacks with monitoring, as text that differs in what a test is about."""

from __future__ import annotations

from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Stack

DIGEST = "0" * 64


def stack(
    *, slo: str = "{}", prometheus: str = "{}", alertmanager: str = "", alerts: str = "{}", more: str = ""
) -> Stack:
    """Two models, of which `a` has the promises; `more` are further sections."""
    watched = f"\n  alertmanager: {alertmanager}" if alertmanager else ""
    return loads(
        f"""
api_version: genesis.stack/v1
name: test
models:
  a:
    port: 8000
    weights: {{source: "hf://o/a/a.gguf", sha256: "{DIGEST}"}}
    budget: {{memory: 1GiB, cpus: 1}}
    slo: {slo}
  b:
    port: 8001
    weights: {{source: "hf://o/b/b.gguf", sha256: "{DIGEST}"}}
    budget: {{memory: 2GiB, cpus: 1}}
monitoring:
  prometheus: {prometheus}{watched}
alerts: {alerts}
{more}
"""
    )


EVERYTHING = """
gateway: {port: 8080}
gitops: {repository: "https://git.example.org/models.git"}
"""
"""What has alerts of its own, beside models."""
PROMISES = "{ttft_p95: 3s, latency_p95: 10s, tokens_per_second: 20, error_rate: 1%}"
EVERY_WAY = """
    receivers:
      ops:
        slack: {url_secret: slack-hook, channel: "#ops"}
        email: {to: a@example.org, from: b@example.org, smarthost: "mail.example.org:587", username: u, \
password_secret: mail}
        pagerduty: {routing_key_secret: pager}
        webhook: {url: "https://example.org/hook", token_secret: hook-token}
      night: {webhook: {url: "http://127.0.0.1:1/night"}, send_resolved: false}
      beat: {webhook: {url: "http://127.0.0.1:1/beat"}}
      unused: {webhook: {url_secret: hidden}}
    default_receiver: ops
    watchdog_receiver: beat
    routes: [{receiver: night, severities: [page, ticket], models: [a], alerts: [ServerDown], continue: true}]
"""
