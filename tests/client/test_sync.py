"""The sync twin: the same answers, without an event loop, and nothing left behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator

import pytest
from waiting import until

from client.conftest import sockets
from client.fault_proxy import Fault
from client.live_server import MODEL, LiveServer
from genesis_stack.client import (
    ClosedError,
    ConnectionFailedError,
    InvalidRequestError,
    StreamInterruptedError,
    SyncLocalLLMClient,
)
from genesis_stack.client.streaming import Stream

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    """No thread and no socket."""
    threads, open_sockets = threading.active_count(), sockets()
    yield
    until(lambda: threading.active_count() <= threads and sockets() <= open_sockets, "their end", seconds=5)


@pytest.fixture
def client(live: LiveServer) -> Generator[SyncLocalLLMClient]:
    """A client of the live server."""
    endpoints = [{"url": live.url, "model": MODEL}]
    with SyncLocalLLMClient(endpoints=endpoints, api_key=live.key) as client:
        yield client


def test_it_answers_whole_streamed_and_in_batches(client: SyncLocalLLMClient) -> None:
    """The same methods, without await."""
    whole = client.complete_text("Tell me a story.", max_tokens=8, temperature=0.0)
    with client.stream("Tell me a story.", max_tokens=8, temperature=0.0) as stream:
        pieces = [chunk.text for chunk in stream]
        assert [chunk.text for chunk in stream] == []
    assert "".join(pieces) == stream.result.text == whole.text
    assert whole.usage.completion_tokens == stream.result.usage.completion_tokens == 8
    assert len(client.complete_batch(["One.", "Two."], max_tokens=2).completions) == 2
    assert client.models()[0].id == MODEL
    assert client.health()[0].ready
    assert len(client.tokenize("hello world")) == 2


def test_errors_come_through(client: SyncLocalLLMClient) -> None:
    """With their types, from a call and from the start of a stream."""
    with pytest.raises(InvalidRequestError):
        client.complete_text("Hi.", temperature=9.0)
    with pytest.raises(InvalidRequestError), client.stream("Hi.", temperature=9.0):
        pass


def test_a_stream_that_is_left_early_stops(client: SyncLocalLLMClient) -> None:
    """And the client works on."""
    with client.stream("Tell me a long story.", max_tokens=500) as stream:
        next(iter(stream))
    assert client.complete_text("Hi.", max_tokens=2).text


def test_several_threads_may_share_it(client: SyncLocalLLMClient) -> None:
    """One pool of connections, one breaker, one bucket for all of them."""
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(client.complete_text("Hi.", max_tokens=2).text))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 4


def test_ctrl_c_cancels_the_call_on_the_other_side(client: SyncLocalLLMClient) -> None:
    """The model does not go on for somebody who has left."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        client.complete_text("Tell me a long story.", max_tokens=800, extra={"ignore_eos": True})
    timer.join()
    assert client.complete_text("Hi.", max_tokens=2).text


def test_a_closed_client_says_so(live: LiveServer) -> None:
    """Before and after."""
    client = SyncLocalLLMClient(live.url, api_key=live.key)
    with pytest.raises(ClosedError):
        client.complete_text("Hi.")
    with client:
        pass
    with pytest.raises(ClosedError):
        client.complete_text("Hi.")


def test_an_interrupted_stream_raises_where_it_is_read(
    client: SyncLocalLLMClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the chunks that came."""
    receive = Stream._receive

    async def fails_later(self: Stream, patience: float | None) -> None:
        await receive(self, patience)
        if len(self.partial.text) > 10:
            self._failure = ConnectionFailedError(str(Fault(cut_after=1)))

    monkeypatch.setattr(Stream, "_receive", fails_later)
    texts: list[str] = []
    story = client.stream("Tell me a long story.", max_tokens=50, seed=1)
    with story as stream, pytest.raises(StreamInterruptedError) as caught:
        texts.extend(chunk.text for chunk in stream)
    assert caught.value.partial.text
