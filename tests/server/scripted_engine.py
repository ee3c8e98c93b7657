"""An engine that says what it is told: for promises of the HTTP side that need a certain engine."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from genesis_stack.engine.interface import (
    Delta,
    Distribution,
    EngineInfo,
    EngineState,
    EngineStats,
    EngineUnavailableError,
    FinishReason,
    GenerationRequest,
    Image,
    ImagePrompt,
    InvalidRequestError,
    Ranking,
    Timings,
    Token,
    Usage,
)

CONTROL_TOKENS = ("<|im_start|>", "<|im_end|>")
NOTHING = Distribution((0.1, 1.0), (0, 0, 0), 0.0)
_CONTROL = re.compile("|".join(map(re.escape, CONTROL_TOKENS)))

Script = Callable[[GenerationRequest], AsyncGenerator[Delta]]


def saying(*texts: str, finish: FinishReason = FinishReason.STOP) -> Script:
    """A script that gives each choice these texts, one delta each."""

    async def script(request: GenerationRequest) -> AsyncGenerator[Delta]:
        for index in range(request.n):
            for text in texts:
                yield Delta(index, text, tokens=(0,))
                await asyncio.sleep(0)
            last = index == request.n - 1
            usage = Usage(len(request.prompt), len(texts) * request.n, 0)
            yield Delta(
                index,
                "",
                finish=finish,
                usage=usage if last else None,
                timings=Timings(0.001, 0.002, 0.003) if last else None,
            )

    return script


@dataclass
class ScriptedEngine:
    """An `Engine` whose tokens are the bytes of UTF-8, and two control tokens.

    `requests` are those submitted, `closed` the ids of those whose stream has ended or was left.
    """

    script: Script = field(default_factory=lambda: saying("Hel", "lo."))
    template: str | None = None
    state: EngineState = EngineState.READY
    requests: list[GenerationRequest] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    refusal: Exception | None = None
    drained: bool = False
    hangs: bool = False

    @property
    def info(self) -> EngineInfo:
        """What is loaded."""
        return EngineInfo(
            model="scripted",
            architecture="none",
            description="scripted",
            n_vocab=256 + len(CONTROL_TOKENS),
            n_embd=2,
            n_layers=1,
            n_context_train=4096,
            n_context=4096,
            n_parallel=4,
            n_params=1,
            size_bytes=1,
            threads=1,
            threads_batch=1,
            kv_cache="f16",
            flash_attention=False,
            mlocked=False,
            pooling="none",
            chat_template=self.template,
            bos_text="",
            eos_text="<|im_end|>",
            control_tokens=frozenset(CONTROL_TOKENS),
            sees=False,
        )

    async def start(self) -> None:
        """Be ready, or refuse."""
        if self.refusal is not None and self.state is EngineState.STARTING:
            raise self.refusal

    async def submit(self, request: GenerationRequest) -> AsyncGenerator[Delta]:
        """Run the script."""
        if self.state is not EngineState.READY:
            raise EngineUnavailableError("The engine is not ready.", retry_after=0.3)
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        return self._noting_the_end(request)

    async def _noting_the_end(self, request: GenerationRequest) -> AsyncGenerator[Delta]:
        try:
            async for delta in self.script(request):
                yield delta
        finally:
            self.closed.append(request.request_id)

    async def rank(self, query: str, documents: Sequence[str]) -> Ranking:
        """By the share of a document's letters that the query has."""
        scores = tuple(sum(letter in query for letter in text) / len(text) for text in documents)
        return Ranking(scores, len(query) + sum(map(len, documents)))

    async def prepare_image(self, image: Image) -> ImagePrompt:  # noqa: ARG002 -- the interface's
        """It reads text only."""
        raise InvalidRequestError("text only", param="messages")

    def cancel(self, request_id: str) -> None:
        """Note it."""
        self.closed.append(request_id)

    async def embed(self, inputs: Sequence[Sequence[Token]]) -> list[list[float]]:
        """The length of each input, and a half."""
        return [[float(len(tokens)), 0.5] for tokens in inputs]

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[Token]:  # noqa: ARG002
        """Bytes, and control tokens where they are read as such."""
        if not parse_special:
            return list(text.encode())
        tokens: list[Token] = []
        for piece in re.split(f"({_CONTROL.pattern})", text):
            tokens += [256 + CONTROL_TOKENS.index(piece)] if piece in CONTROL_TOKENS else piece.encode()
        return tokens

    def detokenize(self, tokens: Sequence[Token]) -> str:
        """The text again."""
        pieces = (bytes([token]) if token < 256 else CONTROL_TOKENS[token - 256].encode() for token in tokens)
        return b"".join(pieces).decode(errors="replace")

    def stats(self) -> EngineStats:
        """Fixed figures."""
        return EngineStats(
            state=self.state,
            requests_running=len(self.requests) - len(self.closed),
            requests_waiting=0,
            waiting_prompt_tokens=0,
            prompt_tokens_total=10,
            cached_tokens_total=4,
            generated_tokens_total=20,
            prefill_seconds_total=2.0,
            decode_seconds_total=4.0,
            steps_total=10,
            busy_slots_total=20,
            requests_finished_total={"stop": len(self.closed)},
            queue_times=NOTHING,
            prefill_times=NOTHING,
            decode_times=NOTHING,
            inter_token_times=Distribution((0.1, 1.0), (2, 1, 1), 3.5),
            drafted_tokens_total=6,
            accepted_tokens_total=3,
            kv_cells_used=1,
            kv_cells=4,
            last_step=0.0,
            slots=(),
        )

    def heartbeat(self) -> float:
        """Now, unless the engine hangs."""
        return 0.0 if self.hangs else time.monotonic()

    async def drain(self, timeout: float) -> None:  # noqa: ARG002, ASYNC109
        """Stop."""
        self.state = EngineState.STOPPED
        self.drained = True
