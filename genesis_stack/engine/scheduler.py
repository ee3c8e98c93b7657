"""Who is decoded next: admission from the queue, the rows of each step, and what follows from them.

A step is one `llama_decode`: either the last token of everyone who streams, or prompt tokens. The two take
turns, so that a long prompt, cut to what `Pace` allows, lets the others go on. Prompts that are short run
to their end together before anyone streams again: one pause instead of many, and all of them start in step.

The two kinds are not mixed in one batch: rows of many sequences leave flash attention no tile of the cache to
skip, and a mixed batch then takes longer than its two halves.

Whoever shares a long prefix with a prompt that is being computed follows it instead of computing the same
again. Images in prompts are steps of their own, because a batch holds either tokens or embeddings.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from genesis_stack.engine.context import Context, DecodeError
from genesis_stack.engine.counters import Counters
from genesis_stack.engine.fair_queue import FairQueue
from genesis_stack.engine.guesser import Guesser
from genesis_stack.engine.interface import Delta, FinishReason
from genesis_stack.engine.model import Model
from genesis_stack.engine.pace import Pace
from genesis_stack.engine.prefix_tree import common_length
from genesis_stack.engine.sequence import Phase, Sequence
from genesis_stack.engine.slots import Slots
from genesis_stack.engine.ticket import Ticket

_WORTH_FOLLOWING: Final = 32
"""Tokens that a running prefill must have in common beyond the cache before a newcomer waits for it."""
_BURST: Final = 2048
"""Most tokens of short prompts that are computed in a row while others stream."""
_NO_CELLS: Final = 1  # llama_decode: could not find a KV slot for the batch

Deliver = Callable[[Ticket, Delta], None]


class Scheduler:
    """All sequences of one context; only the engine's thread calls it.

    Args:
        parallel: most sequences decoded at a time.
        context_length: most tokens of one sequence.
        guesser: guesses tokens ahead, where it pays and cells can be taken back.
        deliver: takes each delta; called before the next step begins.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        slots: Slots,
        pace: Pace,
        *,
        parallel: int,
        context_length: int,
        guesser: Guesser,
        deliver: Deliver,
    ) -> None:
        self._model = model
        self._context = context
        self._slots = slots
        self._pace = pace
        self._parallel = parallel
        self._context_length = context_length
        self._guesser = guesser
        self._deliver = deliver
        self._queue: FairQueue[Sequence] = FairQueue()
        self.live: list[Sequence] = []
        self.counters = Counters()
        self._adapter = ""  # of the last step; empty for none
        self._looked = False  # at an image, in the last step that read prompts
        self._since_decode = 0  # prompt tokens computed since somebody streamed

    @property
    def busy(self) -> bool:
        """Whether a step would have anything to do."""
        return bool(self.live) or len(self._queue) > 0

    @property
    def cells_used(self) -> int:
        """KV cells that live sequences and cache hold together."""
        return self._slots.tree.cells

    def enqueue(self, ticket: Ticket) -> None:
        """Let every choice of a request wait its turn."""
        for index in range(ticket.request.n):
            self._queue.push(Sequence(ticket, index))

    def abort(self, request_id: str, finish: FinishReason) -> None:
        """End every choice of a request, wherever it is."""
        for sequence in [*self._queue, *self.live]:
            if sequence.ticket.request.request_id == request_id:
                self._finish(sequence, sequence.rest(finish))

    def abort_all(self, finish: FinishReason) -> None:
        """End everything."""
        for sequence in [*self._queue, *self.live]:
            self._finish(sequence, sequence.rest(finish))

    def step(self) -> None:
        """Admit who fits, run one batch, and hand out its tokens.

        Raises:
            DecodeError: llama.cpp failed in a way that its context may not have survived.
        """
        self._expire(time.monotonic())
        self._admit()
        batch = self._context.batch
        batch.clear()
        turn = self._whose_turn()
        streaming = [s for s in turn if s.phase is Phase.DECODE]
        prefilling = [s for s in turn if s.phase is Phase.PREFILL]
        if prefilling and not (streaming and self._is_streams_turn(prefilling)):
            looking = self._who_looks(prefilling)
            if looking is not None:
                self._look(looking, streaming=bool(streaming))
                return
            running = self._add_prompts(
                [s for s in prefilling if not s.images.at(s.filled)], streaming=bool(streaming)
            )
        else:
            running = self._add_tokens(streaming)
        if batch.size:
            self._run(running, batch.size, self._context.decode)

    # Admission

    def _expire(self, now: float) -> None:
        for sequence in [*self._queue, *self.live]:
            deadline = sequence.ticket.request.deadline
            if deadline is not None and now > deadline:
                self._finish(sequence, sequence.rest(FinishReason.TIMEOUT))

    def _admit(self) -> None:
        while len(self.live) < self._parallel and self._queue:
            sequence = self._queue.pop()
            ticket = sequence.ticket
            ticket.waiting_choices -= 1
            if ticket.started is None:
                ticket.started = time.monotonic()
            sequence.begin(self._model)
            self._place(sequence)
            self.live.append(sequence)
        for sequence in self.live:
            if sequence.phase is Phase.FOLLOWING and self._caught_up(sequence):
                self._place(sequence)
        self._slots.trim({s.slot for s in self.live})

    def _place(self, sequence: Sequence) -> None:
        """Give `sequence` what the cache holds of its prompt, or let it follow who computes more of it."""
        images = sequence.images
        adapter = sequence.adapter
        match = self._slots.match(sequence.prompt, images, adapter)
        held = match.length if match else 0
        leader, goal = self._leader(sequence)
        if goal >= held + _WORTH_FOLLOWING:
            sequence.phase, sequence.leader, sequence.shared_goal = Phase.FOLLOWING, leader, goal
            return
        recalled = None if adapter else self._slots.recall(sequence.prompt, images, held)
        if recalled is not None:
            match, held = recalled, recalled.length
        sequence.phase, sequence.leader = Phase.PREFILL, None
        sequence.slot = self._slots.occupy(match, images, adapter)
        sequence.filled = sequence.cached = held
        self.counters.cached_tokens += held
        if sequence.index == 0:
            sequence.ticket.cached_tokens = held

    def _leader(self, sequence: Sequence) -> tuple[Sequence | None, int]:
        """Who is computing the most of this prompt, and how much of it."""
        best: tuple[Sequence | None, int] = (None, 0)
        if not self._model.shares_prefixes:
            return best
        limit = len(sequence.prompt) - 1
        for other in self.live:
            if other.phase is Phase.PREFILL and other is not sequence and other.adapter == sequence.adapter:
                common = min(limit, common_length(other.prompt, sequence.prompt))
                if common > max(best[1], other.filled):
                    best = (other, common)
        return best

    def _caught_up(self, sequence: Sequence) -> bool:
        leader = sequence.leader
        return leader is None or leader.phase is not Phase.PREFILL or leader.filled >= sequence.shared_goal

    # One step

    def _whose_turn(self) -> list[Sequence]:
        """Those who run with the same LoRA adapter: a batch has one or none, so adapters take turns."""
        adapters = sorted({s.adapter for s in self.live if s.phase is not Phase.FOLLOWING})
        if not adapters:
            return []
        adapter = next((one for one in adapters if one > self._adapter), adapters[0])
        if adapter != self._adapter:
            self._adapter = adapter
            self._context.use_adapter(adapter)
        return [s for s in self.live if s.adapter == adapter]

    def _is_streams_turn(self, prefilling: list[Sequence]) -> bool:
        if self._since_decode == 0:
            return False
        return self._since_decode >= _BURST or not any(map(self._is_short, prefilling))

    def _is_short(self, sequence: Sequence) -> bool:
        return self._pace.is_short(len(sequence.prompt) - sequence.cached)

    def _add_tokens(self, streaming: list[Sequence]) -> list[Sequence]:
        """One row for everyone who streams, and one for each token guessed ahead."""
        batch = self._context.batch
        if self._guesser and streaming:
            room = batch.capacity // len(streaming) - 1
            most = [min(self._limit(s) - s.generated - 1, room) for s in streaming]
            self._guesser.guess(streaming, most)
        for sequence in streaming:
            position = sequence.position
            sequence.row = batch.add(sequence.slot, sequence.next_token, position)
            sequence.run = 1 + len(sequence.draft)
            for offset, token in enumerate(sequence.draft, start=1):
                batch.add(sequence.slot, token, position + offset)
        return streaming

    def _add_prompts(self, prefilling: list[Sequence], *, streaming: bool) -> list[Sequence]:
        """All short prompts as far as they fit, and a piece of the long one that came first."""
        batch = self._context.batch
        long = [s for s in prefilling if not self._is_short(s)]
        piece = self._pace.chunk(self._context.longest_run, streaming=streaming) if long else 0
        running = []
        for sequence in prefilling:
            if sequence not in long and batch.room > piece:
                self._add_run(sequence, batch.room - piece)
                running.append(sequence)
        for sequence in long:
            if piece > 0:
                piece -= self._add_run(sequence, piece)
                running.append(sequence)
        return running

    def _add_run(self, sequence: Sequence, most: int) -> int:
        """Add up to `most` tokens of a prompt, none beyond the next image; returns how many."""
        left = sequence.images.gap(sequence.filled)
        if left is None:
            left = len(sequence.prompt) - sequence.filled
        count = min(most, self._context.longest_run, left)
        last = sequence.filled + count == len(sequence.prompt)
        row = self._context.batch.add_run(
            sequence.slot, sequence.prompt, sequence.filled, count, sequence.position, output=last
        )
        sequence.row = row if last else -1
        sequence.run = count
        return count

    def _who_looks(self, prefilling: list[Sequence]) -> Sequence | None:
        """Whose image is next; images and the prompts of others take turns."""
        looking = [s for s in prefilling if s.images.at(s.filled)]
        if not looking or (self._looked and len(looking) < len(prefilling)):
            self._looked = False
            return None
        self._looked = True
        return looking[0]

    def _look(self, sequence: Sequence, *, streaming: bool) -> None:
        """Compute a piece of the image that `sequence` has come to."""
        image = sequence.images.at(sequence.filled)
        assert image is not None  # noqa: S101 -- that is why it was chosen
        span = image.span
        count = span.end - sequence.filled
        if span.causal:
            piece = self._pace.chunk(self._context.longest_run, streaming=streaming)
            count = min(count, self._context.longest_run if self._is_short(sequence) else piece)
        first = sequence.images.position(span.start)
        rows = self._context.image_rows(image, sequence.slot, first, sequence.filled - span.start, count)
        sequence.row, sequence.run = -1, count
        self._run([sequence], count, partial(self._context.decode_image, rows))

    def _run(self, running: list[Sequence], rows: int, decode: Callable[[], None]) -> None:
        """Decode `rows` rows, once more with an empty cache if they found no cells, and settle."""
        self._slots.make_room(rows)
        started = time.monotonic()
        try:
            decode()
        except DecodeError as error:
            if error.status != _NO_CELLS:
                raise
            self._slots.clear_cache()
            decode()
        self._settle(running, rows, started, time.monotonic())

    def _settle(self, running: list[Sequence], rows: int, started: float, ended: float) -> None:
        """Note the new cells, sample, and end what is complete."""
        streaming = [sequence for sequence in running if sequence.phase is Phase.DECODE]
        prompt_tokens = rows if not streaming else 0
        self._since_decode = 0 if streaming else self._since_decode + prompt_tokens
        self._pace.observe(prompt_tokens, ended - started, rows)
        self.counters.step(len(streaming), prompt_tokens, ended - started)
        for sequence in running:
            if sequence.phase is Phase.DECODE:
                self._settle_tokens(sequence, ended)
            else:
                self._settle_prompt(sequence, ended)

    def _settle_prompt(self, sequence: Sequence, now: float) -> None:
        self._hold(sequence, sequence.prompt[sequence.filled : sequence.filled + sequence.run])
        if sequence.row >= 0:
            self._hand_out(sequence, [self._sample(sequence, sequence.row, now)])
            if self._guesser and self._model.shares_prefixes and sequence.phase is Phase.DECODE:
                sequence.speculate()

    def _settle_tokens(self, sequence: Sequence, now: float) -> None:
        """Sample row after row for as long as what was guessed is what was chosen."""
        held = array("i", (sequence.next_token,))
        deltas = [self._sample(sequence, sequence.row, now)]
        for offset, guessed in enumerate(sequence.draft, start=1):
            delta = deltas[-1]
            if sequence.next_token != guessed or (delta is not None and delta.finish is not None):
                break
            held.append(guessed)
            deltas.append(self._sample(sequence, sequence.row + offset, now))
        self._hold(sequence, held)
        if sequence.run > len(held):
            self._context.truncate(sequence.slot, sequence.position)
        if sequence.draft and sequence.speculation is not None:
            right = len(held) - 1
            sequence.speculation.observe(len(sequence.draft), right)
            self.counters.drafted_tokens += len(sequence.draft)
            self.counters.accepted_tokens += right
        self._hand_out(sequence, deltas)

    def _hold(self, sequence: Sequence, tokens: array[int]) -> None:
        self._slots.tree.extend(sequence.slot, tokens)
        sequence.filled += len(tokens)

    def _limit(self, sequence: Sequence) -> int:
        """Most tokens that it may generate."""
        wanted = sequence.ticket.request.sampling.max_tokens
        room = self._context_length - len(sequence.prompt)
        return room if wanted is None else min(wanted, room)

    def _sample(self, sequence: Sequence, row: int, now: float) -> Delta | None:
        ticket = sequence.ticket
        before = sequence.generated
        delta = sequence.sample(self._context.pointer, row, self._limit(sequence))
        ticket.generated += sequence.generated - before
        self.counters.generated_tokens += sequence.generated - before
        if ticket.first_token is None:
            ticket.first_token = now
        if sequence.last_token is not None:
            self.counters.inter_token_times.observe(now - sequence.last_token)
        sequence.last_token = now
        return delta

    def _hand_out(self, sequence: Sequence, deltas: list[Delta | None]) -> None:
        for delta in deltas:
            if delta is None:
                continue
            if delta.finish is None:
                self._deliver(sequence.ticket, delta)
            else:
                self._finish(sequence, delta)

    def _finish(self, sequence: Sequence, delta: Delta) -> None:
        """Hand out a choice's last delta and let go of what it held."""
        ticket = sequence.ticket
        if sequence.phase is Phase.WAITING:
            self._queue.remove(sequence)
            ticket.waiting_choices -= 1
        else:
            self.live.remove(sequence)
            if sequence.slot >= 0:
                self._slots.retire(sequence.slot)
            sequence.end()
            self._pace.finished(sequence.generated)
        ticket.open_choices -= 1
        assert delta.finish is not None  # noqa: S101 -- only last deltas come here
        if ticket.open_choices == 0:
            timings = ticket.timings(time.monotonic())
            self.counters.finish(
                delta.finish,
                timings,
                started=ticket.started is not None,
                answered=ticket.first_token is not None,
            )
            delta = replace(delta, usage=ticket.usage(), timings=timings)
        self._deliver(ticket, delta)
