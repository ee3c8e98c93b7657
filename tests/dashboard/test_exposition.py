from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.dashboard.exposition import Exposition, Histogram

TEXT = """
# TYPE llamacpp:tokens_predicted counter
llamacpp:tokens_predicted_total 12.0
# TYPE genesis_http_requests counter
genesis_http_requests_total{route="/v1/models",status="200"} 3.0
genesis_http_requests_total{route="/v1/chat/completions",status="503"} 2.0
genesis_http_requests_total{route="/metrics",status="200"} 40.0
# TYPE wait histogram
wait_bucket{le="1.0"} 1.0
wait_bucket{le="2.0"} 3.0
wait_bucket{le="+Inf"} 4.0
wait_sum 9.0
wait_count 4.0
"""


def test_samples_are_added_up_by_how_their_labels_begin() -> None:
    """Names with a colon too; a name that is not there is None, not zero."""
    said = Exposition.parse(TEXT)
    assert said.total("llamacpp:tokens_predicted_total") == 12
    assert said.total("genesis_http_requests_total", route="/v1/") == 5
    assert said.total("genesis_http_requests_total", route="/v1/", status="5") == 2
    assert said.total("genesis_nothing_total") is None


def test_a_histogram_is_read_with_its_infinite_bucket() -> None:
    """Values above the last finite bound count, and a histogram that is not there is empty."""
    said = Exposition.parse(TEXT)
    assert said.histogram("wait") == Histogram((1.0, 2.0, math.inf), (1.0, 3.0, 4.0))
    assert said.histogram("other").quantile(0.5) is None


@pytest.mark.parametrize("text", ["<html>", 'genesis_ready{model="a} 1', "genesis_ready one"])
def test_what_is_no_metrics_is_refused(text: str) -> None:
    """A ValueError, which the page shows."""
    with pytest.raises(ValueError, match=r"."):
        Exposition.parse(text)


def test_percentiles_are_interpolated_as_prometheus_does() -> None:
    """Within the bucket; above the last finite bound, that bound."""
    histogram = Histogram((1.0, 2.0, math.inf), (1.0, 3.0, 4.0))
    assert histogram.quantile(0.125) == pytest.approx(0.5)
    assert histogram.quantile(0.5) == pytest.approx(1.5)
    assert histogram.quantile(0.75) == pytest.approx(2.0)
    assert histogram.quantile(0.99) == 2.0


def test_a_restarted_server_counts_from_zero() -> None:
    """What its new process observed is all that is new."""
    before, after = Histogram((1.0, math.inf), (5.0, 9.0)), Histogram((1.0, math.inf), (1.0, 2.0))
    assert after.since(before) == after
    assert before.since(after) == Histogram((1.0, math.inf), (4.0, 7.0))


buckets = st.lists(st.integers(0, 20), min_size=2, max_size=8)


@given(buckets, st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_higher_share_never_has_a_lower_percentile(sizes: list[int], one: float, other: float) -> None:
    """Whatever was observed."""
    counts = tuple(float(sum(sizes[: end + 1])) for end in range(len(sizes)))
    histogram = Histogram((*(float(edge) for edge in range(1, len(sizes))), math.inf), counts)
    low, high = histogram.quantile(min(one, other)), histogram.quantile(max(one, other))
    assert (low is None) == (high is None) == (counts[-1] == 0)
    assert low is None or high is None or low <= high
