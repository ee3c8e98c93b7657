from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis_stack.engine.fair_queue import FairQueue


@dataclass(eq=False)
class Item:
    """Something that waits."""

    client: str
    cost: int = 1
    number: int = 0


costs = st.integers(1, 50)


@given(st.lists(st.tuples(st.sampled_from("abc"), costs), max_size=40))
def test_first_come_first_served_within_a_client(arrivals: list[tuple[str, int]]) -> None:
    """Nobody overtakes within a line, whatever the costs, and nothing is lost."""
    queue: FairQueue[Item] = FairQueue()
    for number, (client, cost) in enumerate(arrivals):
        queue.push(Item(client, cost, number))
    served = [queue.pop() for _ in arrivals]
    assert len(queue) == 0
    for client in "abc":
        numbers = [item.number for item in served if item.client == client]
        assert numbers == sorted(numbers)
        assert len(numbers) == sum(1 for name, _ in arrivals if name == client)


@given(st.lists(costs, min_size=30, max_size=30), st.lists(costs, min_size=30, max_size=30))
def test_tokens_are_shared_evenly_while_both_wait(left: list[int], right: list[int]) -> None:
    """While two clients wait, their shares in tokens differ by at most one request of each."""
    queue: FairQueue[Item] = FairQueue()
    for cost in left:
        queue.push(Item("left", cost))
    for cost in right:
        queue.push(Item("right", cost))
    waiting = {"left": len(left), "right": len(right)}
    given_tokens: Counter[str] = Counter()
    bound = max(left) + max(right)
    while all(waiting.values()):
        item = queue.pop()
        waiting[item.client] -= 1
        given_tokens[item.client] += item.cost
        assert abs(given_tokens["left"] - given_tokens["right"]) <= bound


def test_a_flood_does_not_starve_a_single_request() -> None:
    """One request waits for about one of the flood's, however many came before it."""
    queue: FairQueue[Item] = FairQueue()
    for _ in range(1000):
        queue.push(Item("flood", 10))
    for _ in range(50):
        queue.pop()
    queue.push(Item("single", 10))
    assert "single" in [queue.pop().client for _ in range(3)]


def test_newcomers_without_end_do_not_starve_who_was_served_before() -> None:
    """A client that has had its share still gets on while new ones keep coming."""
    queue: FairQueue[Item] = FairQueue()
    queue.push(Item("regular", 100))
    queue.pop()
    queue.push(Item("regular", 100))
    for number in range(1000):
        queue.push(Item(f"newcomer {number}", 10))
        if queue.pop().client == "regular":
            break
    else:
        pytest.fail("1,000 newcomers were served and the regular was not")


def test_pausing_saves_nothing_up() -> None:
    """Who was away gets half of what follows, not all of it."""
    queue: FairQueue[Item] = FairQueue()
    for _ in range(200):
        queue.push(Item("busy"))
    for _ in range(100):
        queue.pop()
    for _ in range(100):
        queue.push(Item("back"))
    served = Counter(queue.pop().client for _ in range(100))
    assert 48 <= served["back"] <= 52


@given(st.lists(st.tuples(st.sampled_from("abc"), costs), min_size=1, max_size=20), st.data())
def test_who_leaves_the_line_is_not_served(arrivals: list[tuple[str, int]], data: st.DataObject) -> None:
    """`remove` takes out exactly that item, once; the rest is served."""
    queue: FairQueue[Item] = FairQueue()
    items = [Item(client, cost, number) for number, (client, cost) in enumerate(arrivals)]
    for item in items:
        queue.push(item)
    gone = data.draw(st.sampled_from(items))
    assert queue.remove(gone)
    assert not queue.remove(gone)
    assert set(queue) == set(items) - {gone}
    assert {queue.pop() for _ in range(len(queue))} == set(items) - {gone}


def test_an_empty_queue_says_so() -> None:
    """Popping nothing is a programming error, and it says so."""
    with pytest.raises(IndexError):
        FairQueue[Item]().pop()


@pytest.mark.parametrize("others", [0, 3], ids=["emptied each time", "never empty"])
def test_clients_that_came_once_are_forgotten(others: int) -> None:
    """What the queue remembers does not grow with the number of clients it has ever seen."""
    queue: FairQueue[Item] = FairQueue()
    for number in range(others):
        queue.push(Item(f"first {number}", 10))
    for number in range(5000):
        queue.push(Item(f"client {number}", 10))
        queue.pop()
    assert len(queue._virtual) <= 100


def test_clients_that_came_and_left_are_forgotten() -> None:
    """Nor with those who left the line before their turn."""
    queue: FairQueue[Item] = FairQueue()
    for number in range(1000):
        item = Item(f"client {number}")
        queue.push(item)
        queue.remove(item)
    assert len(queue._virtual) <= 100
