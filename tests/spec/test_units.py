"""Quantities as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from genesis_stack.spec.units import parse_duration, parse_fraction, parse_rate, parse_size

Parse = Callable[[object], float]


@pytest.mark.parametrize(
    ("parse", "written", "meant"),
    [
        (parse_size, "8GiB", 8 * 2**30),
        (parse_size, "4.9GB", 4_900_000_000),
        (parse_size, "512 MiB", 2**29),
        (parse_size, "1kB", 1000),
        (parse_size, "1KB", 1000),
        (parse_size, "0.1KiB", 102),
        (parse_size, 98_362_432, 98_362_432),
        (parse_size, 0, 0),
        (parse_size, 2**62, 2**62),
        (parse_size, f"{2**22}TiB", 2**62),
        (parse_duration, "250ms", 0.25),
        (parse_duration, "10s", 10.0),
        (parse_duration, "5m", 300.0),
        (parse_duration, "1h30m", 5400.0),
        (parse_duration, "0.1s", 0.1),
        (parse_duration, "7d", 604_800.0),
        (parse_duration, 10, 10.0),
        (parse_duration, 0, 0.0),
        (parse_duration, 3650 * 86_400, 3650 * 86_400.0),
        (parse_duration, "3650d", 3650 * 86_400.0),
        (parse_fraction, "1%", 0.01),
        (parse_fraction, "99.9%", 0.999),
        (parse_fraction, 0.5, 0.5),
        (parse_fraction, 1, 1.0),
        (parse_fraction, 0, 0.0),
        (parse_fraction, "100 %", 1.0),
        (parse_rate, "60/min", 1.0),
        (parse_rate, "10/s", 10.0),
        (parse_rate, "3600 / h", 1.0),
        (parse_rate, 2.5, 2.5),
        (parse_rate, 0, 0.0),
        (parse_rate, 10**9, 1e9),
        (parse_rate, "1000000000/s", 1e9),
    ],
)
def test_what_is_written_is_what_is_meant(parse: Parse, written: object, meant: float) -> None:
    """A quantity becomes its exact value in the canonical unit."""
    assert parse(written) == meant


@pytest.mark.parametrize(
    ("parse", "written"),
    [
        (parse_size, "8G"),
        (parse_size, "8"),
        (parse_size, "8gib"),
        (parse_size, "-1GiB"),
        (parse_size, 1.5),
        (parse_size, True),
        (parse_size, -1),
        (parse_size, "9999999999999TB"),
        (parse_size, 2**63),
        (parse_size, "٣GiB"),
        (parse_size, "1GiB\n"),
        (parse_duration, "10"),
        (parse_duration, "10 s"),
        (parse_duration, "10S"),
        (parse_duration, "5 minutes"),
        (parse_duration, -1),
        (parse_duration, float("nan")),
        (parse_duration, float("inf")),
        (parse_duration, "999999999d"),
        (parse_duration, ""),
        (parse_duration, True),
        (parse_fraction, "101%"),
        (parse_fraction, 2),
        (parse_fraction, -0.1),
        (parse_fraction, "1 percent"),
        (parse_fraction, None),
        (parse_fraction, True),
        (parse_rate, "60/hour"),
        (parse_rate, "60"),
        (parse_rate, [60]),
        (parse_rate, "1/0"),
        (parse_rate, True),
        (parse_rate, "1000000001/s"),
    ],
)
def test_what_could_mean_two_things_is_refused(parse: Parse, written: object) -> None:
    """A quantity without its unit, out of range, or of the wrong type is an error, not a guess."""
    with pytest.raises(PydanticCustomError):
        parse(written)


@given(st.integers(0, 10**6), st.sampled_from(["KiB", "MiB", "GiB", "kB", "MB", "GB"]))
def test_sizes_are_exact(number: int, unit: str) -> None:
    """No size goes through a float."""
    base = 1024 if "i" in unit else 1000
    assert parse_size(f"{number}{unit}") == number * base ** (" KMG".index(unit[0].upper()))


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans()))
def test_no_value_breaks_a_parser(value: object) -> None:
    """Whatever stands in the file, a parser answers with a number or its own error."""
    for parse in (parse_size, parse_duration, parse_fraction, parse_rate):
        try:
            assert parse(value) >= 0
        except PydanticCustomError:
            continue
