"""Chats from a few users at once; Locust ends with 1 when a request failed or too many were slow.

Run it as `locust -f locustfile.py --headless --users 4 --run-time 60s --host http://127.0.0.1:8000`.
GENESIS_API_KEY is the key of a declared client, GENESIS_MODEL the model if the server is not asked for it.
"""

from __future__ import annotations

import os
from typing import Any, Final

from locust import HttpUser, between, events, task

P95_SECONDS: Final = float(os.environ.get("GENESIS_LATENCY_P95", "10"))
KEY: Final = os.environ.get("GENESIS_API_KEY", "")


class Chat(HttpUser):
    """Asks a short question, reads the answer, thinks for a while."""

    wait_time = between(0.5, 2)

    def on_start(self) -> None:
        """Learn the model's name."""
        self.client.headers.update({"Authorization": f"Bearer {KEY}"} if KEY else {})
        found = self.client.get("/v1/models").json()["data"][0]["id"]
        self.model = os.environ.get("GENESIS_MODEL", found)

    @task
    def chat(self) -> None:
        """One question."""
        messages = [{"role": "user", "content": "Name three colours."}]
        body = {"model": self.model, "messages": messages, "max_tokens": 32}
        self.client.post("/v1/chat/completions", json=body)


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """A run fails when nothing was asked, a request failed, or the slowest twentieth took too long."""
    total = environment.stats.total
    slow = (total.get_response_time_percentile(0.95) or 0) / 1000 > P95_SECONDS
    environment.process_exit_code = 1 if not total.num_requests or total.num_failures or slow else 0
