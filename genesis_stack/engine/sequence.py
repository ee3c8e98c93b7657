"""One choice of one request while it is decoded: its place in the batch, its sampler, its text."""

from __future__ import annotations

from array import array
from enum import StrEnum
from typing import Any, Final

from genesis_stack.engine.images import Images
from genesis_stack.engine.interface import ChosenLogprob, Delta, FinishReason, SlotStats, Token
from genesis_stack.engine.logprobs import chosen_logprob
from genesis_stack.engine.model import Model
from genesis_stack.engine.sampler import Sampler
from genesis_stack.engine.speculation import Speculation
from genesis_stack.engine.text import TextStream
from genesis_stack.engine.ticket import Ticket

_NO_DRAFT: Final = array("i")


class Phase(StrEnum):
    """Where a sequence is."""

    WAITING = "waiting"  # in the queue
    FOLLOWING = "following"  # another sequence is computing the prefix that both share
    PREFILL = "prefill"  # its prompt is being computed
    DECODE = "decode"  # one token a step
    ENDED = "ended"  # its last delta is out


class Sequence:
    """One choice. `slot` is its llama.cpp sequence id once it has one, `filled` the cells it holds.

    `last_token` is when its latest token was computed. `row` is the first row of the current batch that it
    samples from, `run` how many rows it has there, `draft` the tokens guessed in them, by `speculation`.
    """

    __slots__ = (
        "_logprobs",
        "_model",
        "_sampler",
        "_text",
        "_tokens",
        "cached",
        "draft",
        "filled",
        "generated",
        "index",
        "last_token",
        "leader",
        "next_token",
        "phase",
        "row",
        "run",
        "shared_goal",
        "slot",
        "speculation",
        "ticket",
    )

    def __init__(self, ticket: Ticket, index: int) -> None:
        self.ticket = ticket
        self.index = index
        self.phase = Phase.WAITING
        self.slot = -1
        self.filled = 0
        self.cached = 0
        self.generated = 0
        self.next_token: Token = -1
        self.last_token: float | None = None
        self.leader: Sequence | None = None
        self.shared_goal = 0
        self.row = -1
        self.run = 0
        self.draft: array[int] = _NO_DRAFT
        self.speculation: Speculation | None = None
        self._tokens: list[Token] = []
        self._logprobs: list[ChosenLogprob] = []

    @property
    def client(self) -> str:
        """Whom it belongs to."""
        return self.ticket.request.client

    @property
    def cost(self) -> int:
        """Tokens it may take, as the fair queue counts them."""
        return len(self.prompt) + (self.ticket.request.sampling.max_tokens or 0)

    @property
    def prompt(self) -> array[int]:
        """The request's prompt tokens."""
        return self.ticket.prompt

    @property
    def adapter(self) -> str:
        """The LoRA adapter that it is computed with; empty for none."""
        return self.ticket.request.adapter

    @property
    def images(self) -> Images:
        """Where images stand in it."""
        return self.ticket.images

    @property
    def position(self) -> int:
        """Of the next cell it computes, as llama.cpp counts."""
        return self.ticket.images.position(self.filled)

    def begin(self, model: Model) -> None:
        """Get ready to generate; called once, when a slot was found."""
        params = self.ticket.request.sampling
        self._model = model
        self._sampler = Sampler(model, params, self.ticket.grammar, self.index)
        self._text = TextStream(params.stop)

    def speculate(self) -> None:
        """Guess ahead from here on."""
        self.speculation = Speculation(self.prompt)
        self.speculation.append(self.next_token)

    def end(self) -> None:
        """Give back what `begin` allocated."""
        self._sampler.close()
        self.phase = Phase.ENDED

    def sample(self, context: Any, row: int, limit: int) -> Delta | None:
        """Choose the next token from a row computed for this sequence.

        `limit` is the most tokens it may generate. Returns what can be handed out, if anything; a delta with
        `finish` is the choice's last.
        """
        params = self.ticket.request.sampling
        token = self._sampler.sample(context, row)
        self.phase = Phase.DECODE
        if token is None:  # what there is does not fit the grammar: it was cut short
            return self.delta(self._text.flush(), FinishReason.LENGTH)
        self.next_token = token
        self.generated += 1
        if self.speculation is not None:
            self.speculation.append(token)
        if not params.ignore_eos and self._model.ends_generation(token):
            return self.delta(self._text.flush(), FinishReason.STOP)
        self._tokens.append(token)
        if params.top_logprobs is not None:
            self._logprobs.append(chosen_logprob(self._model, context, row, token, params.top_logprobs))
        text = self._text.feed(self._model.piece(token))
        if self._text.stopped:
            return self.delta(text, FinishReason.STOP)
        if self.generated >= limit:
            return self.delta(text + self._text.flush(), FinishReason.LENGTH)
        return self.delta(text, None) if text else None

    def delta(self, text: str, finish: FinishReason | None) -> Delta:
        """A delta with the tokens since the last one."""
        delta = Delta(
            self.index,
            text,
            tuple(self._tokens),
            tuple(self._logprobs),
            finish,
            stop=self._text.stop if finish is FinishReason.STOP else None,
        )
        self._tokens.clear()
        self._logprobs.clear()
        return delta

    def rest(self, finish: FinishReason) -> Delta:
        """The last delta of a choice that ends from outside."""
        return self.delta("" if self.phase is Phase.WAITING else self._text.flush(), finish)

    def stats(self) -> SlotStats:
        """How far it is."""
        request = self.ticket.request
        return SlotStats(
            self.slot,
            request.request_id,
            request.client,
            self.phase.value,
            len(self.prompt),
            self.cached,
            min(self.filled, len(self.prompt)),
            self.generated,
        )
