"""The page in a real browser, over real servers that a real arbiter runs."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from waiting import until

from dashboard.browser import Noted, chromium
from dashboard.machine import Machine, machine
from dashboard.stranger import answering
from genesis_stack.dashboard.app import MOST_READERS

pytestmark = [pytest.mark.browser, pytest.mark.model]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all pages."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(smollm2: Path) -> Iterator[Machine]:
    """Two models that let in nobody without a key."""
    with machine(smollm2) as made:
        made.lock()
        yield made


@pytest.fixture(scope="module")
def url(served: Machine) -> Iterator[str]:
    """Their dashboard."""
    with served.dashboard() as url:
        yield url


@pytest.fixture
def noted(browser: Browser, url: str) -> Iterator[Noted]:
    """The open page, all models on it, and not one fault by the end."""
    context = browser.new_context(locale="en-GB", reduced_motion="reduce")
    noted = Noted(context.new_page())
    noted.page.goto(url)
    until(lambda: noted.text("#overall") == "all ready", lambda: noted.text("body"))
    yield noted
    context.close()
    assert noted.faults == []
    assert noted.hosts <= {"127.0.0.1", "data"}


def sample(text: str, name: str) -> float:
    """The samples of one name in a server's metrics, added up."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line.partition("{")[0].split()[0] == name]
    assert lines, name
    return sum(float(value) for _, _, value in lines)


def percentile(text: str, histogram: str, share: float) -> float:
    """As PromQL's histogram_quantile defines it, over all observations."""
    edges, low, below = [], 0.0, 0.0
    for line in text.splitlines():
        if line.startswith(f"{histogram}_bucket"):
            head, _, value = line.rpartition(" ")
            edges.append((float(head.split('le="')[1].split('"')[0]), float(value)))
    wanted = share * edges[-1][1]
    for edge, count in edges:
        if count >= wanted and not math.isinf(edge):
            return low + (edge - low) * (wanted - below) / (count - below)
        low, below = edge, count
    return edges[-2][0]


def as_seconds(value: float) -> str:
    """How the page writes a time below 100 s."""
    return f"{value * 1000:,.0f} ms" if value < 0.9995 else f"{value:.2f} s"


def test_its_numbers_are_those_of_the_servers(noted: Noted, served: Machine) -> None:
    """Under a little load, and once it is over, to the last token; percentiles as Prometheus has them."""
    for number in range(4):
        served.ask("smol", f"Name {number + 2} colours.")
    nothing_yet = ("\u2013", "0", "0.0")
    until(lambda: noted.value("smol", "generated_per_second") not in nothing_yet, lambda: noted.text("body"))
    said = served.metrics("smol")
    expected = {
        "generated_tokens": f"{sample(said, 'llamacpp:tokens_predicted_total'):,.0f}",
        "prompt_tokens": f"{sample(said, 'llamacpp:prompt_tokens_total'):,.0f}",
        "requests": "4",
        "errors": "0",
        "processing": "0",
        "ttft_p95": as_seconds(percentile(said, "genesis_time_to_first_token_seconds", 0.95)),
        "latency_p95": as_seconds(percentile(said, "llamacpp:request_latency_seconds", 0.95)),
    }
    assert int(expected["generated_tokens"]) > 4

    def shown() -> dict[str, str]:
        return {name: noted.value("smol", name) for name in expected}

    until(lambda: shown() == expected, lambda: (shown(), expected))
    assert noted.value("other", "requests") == "0"
    assert noted.value("smol", "memory").endswith("of 768 MiB")


def test_plots_are_drawn_with_the_limits_of_the_stack(noted: Noted, served: Machine) -> None:
    """Lines that have points, and the promise as a line of its own; arrow keys read single points."""
    served.ask("smol", "Say something.")
    plots = noted.page.locator('[data-model="smol"] figure')
    assert plots.count() == 4
    tokens = plots.nth(0)

    def drawn() -> str:
        return tokens.locator("path.line-0").get_attribute("d") or ""

    until(lambda: drawn().count("L") >= 2, drawn)
    assert "limit 2.00 s" in plots.nth(1).inner_text()
    assert "limit 768 MiB" in plots.nth(3).inner_text()
    tokens.locator("svg").focus()
    noted.page.keyboard.press("ArrowLeft")
    assert tokens.locator("b").inner_text().startswith("Tokens per second, ")
    assert "generated" in (tokens.locator("svg").get_attribute("aria-label") or "")


def test_it_says_what_it_cannot_know_without_a_prometheus(noted: Noted) -> None:
    """No alerts are not the same as nobody who would evaluate any; longer plots cannot be chosen."""
    assert "no Prometheus" in noted.text("#alerts-source")
    assert noted.page.locator('#span input[value="24h"]').is_disabled()


def test_applies_are_listed_with_how_they_ended(noted: Noted) -> None:
    """Newest first."""
    rows = [row.split("\t") for row in noted.text("#applies tbody").splitlines()]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        (str(number), "applied", "smol, other") for number in (2, 1)
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, url: str, scheme: str) -> None:
    """In both colour schemes, which differ, and with text that can be told from its ground."""
    with browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(url)
        page.locator('[data-model="other"] path.line-0').first.wait_for(state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        colours = page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        dark = [sum(map(int, colour[4:-1].split(","))) < 384 for colour in colours]
        assert dark == ([True, False] if scheme == "light" else [False, True])


def test_a_killed_server_is_shown_as_down_until_it_is_back(noted: Noted, served: Machine) -> None:
    """The other one stays ready, and the page says what is wrong."""
    served.kill_for_good("smol")
    until(lambda: noted.state("smol") == "down", lambda: noted.state("smol"))
    assert noted.state("other") == "ready"
    assert noted.text("#overall") == "1 of 2 not ready"
    assert "smol: " in noted.text("#problems")
    assert noted.value("smol", "requests") == "\N{EN DASH}"
    served.apply()
    until(lambda: noted.text("#overall") == "all ready", lambda: noted.text("body"))
    assert not noted.page.locator("#problems").is_visible()


def test_what_an_alert_says_never_becomes_part_of_the_page(browser: Browser, served: Machine) -> None:
    """Its summary is shown to the letter."""
    spoof = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    alert = {
        "labels": {"alertname": "Spoof"},
        "annotations": {"summary": spoof},
        "startsAt": "2026-01-02T03:04:05Z",
        "status": {"state": "active"},
    }
    with (
        answering(json.dumps([alert])) as alertmanager,
        served.dashboard("--alertmanager", alertmanager) as url,
        browser.new_context() as context,
    ):
        noted = Noted(context.new_page())
        noted.page.goto(url)
        noted.page.locator("#alerts tbody td", has_text="Spoof").first.wait_for()
        assert noted.page.locator("#alerts tbody td").last.inner_text() == spoof
        assert noted.page.locator("#alerts img").count() == 0
        assert noted.page.title() == "genesis-stack"
        assert noted.faults == []


def test_pages_that_were_closed_make_room_for_others(served: Machine) -> None:
    """So many may follow at a time; a reader who leaves is forgotten within a few seconds."""
    with served.dashboard() as url, ExitStack() as open_pages:
        for _ in range(MOST_READERS):
            open_pages.enter_context(urllib.request.urlopen(f"{url}/api/live", timeout=10)).readline()
        assert status(f"{url}/api/live") == 503
        open_pages.close()
        until(lambda: status(f"{url}/api/live") == 200, "room")


def status(url: str) -> int:
    """Of one answer."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_page_notices_that_its_own_program_ended(browser: Browser, served: Machine) -> None:
    """Old numbers never pass for new ones."""
    with browser.new_context() as context:
        page = context.new_page()
        with served.dashboard() as url:
            page.goto(url)
            page.locator("#overall.good").wait_for()
        page.locator("#overall", has_text="no contact").wait_for()
        assert "does not answer" in page.locator("#updated").inner_text()
