"""Make docs/images/dashboard.png: two real models under a little load, a rollout, and the page of it all.

    PYTHONPATH=tests .venv/bin/python -m dashboard.screenshot docs/images/dashboard.png

It needs chromium, prometheus and prometheus-alertmanager, and takes two minutes.
"""

from __future__ import annotations

import itertools
import sys
import threading
from pathlib import Path

from ports import free_port
from waiting import until

from dashboard.browser import Noted, chromium
from dashboard.machine import Machine, machine

WEIGHTS = Path(".cache/models/SmolLM2-135M-Instruct.Q4_1.gguf").resolve()
NAMES = ("assistant", "summarizer")
SECONDS = 75.0


def talk(made: Machine, model: str, pause: float, over: threading.Event) -> None:
    """Ask one question after another."""
    for number in itertools.count(1):
        made.ask(model, f"Tell me something about the number {number}.", 16 + number * 7 % 48)
        if over.wait(pause * (1 + number % 3)):
            return


def take(path: Path) -> None:
    """Serve, talk, look."""
    watching = {
        "prometheus": {"port": free_port(), "exporter_port": free_port(), "scrape_interval": "2s"},
        "alertmanager": {
            "port": free_port(),
            "receivers": {"oncall": {"webhook": {"url": "http://127.0.0.1:9"}}},
        },
    }
    with machine(WEIGHTS, NAMES) as made, chromium() as browser:
        made.parts["monitoring"] = watching
        made.apply()
        with (
            made.dashboard() as url,
            browser.new_context(viewport={"width": 1240, "height": 700}, locale="en-GB") as context,
        ):
            noted = Noted(context.new_page())
            noted.page.goto(url)
            over = threading.Event()
            talkers = [
                threading.Thread(target=talk, args=(made, model, pause, over))
                for model, pause in zip(NAMES, (0.4, 1.5), strict=True)
            ]
            for talker in talkers:
                talker.start()
            over.wait(SECONDS)
            until(
                lambda: "the watchdog is heard" in noted.text("#alerts-source"),
                lambda: noted.text("body"),
                seconds=90,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            noted.page.screenshot(path=path, full_page=True)
            over.set()
            for talker in talkers:
                talker.join()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
