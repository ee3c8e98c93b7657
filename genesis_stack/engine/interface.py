"""What the server may ask of an engine: submit, cancel, count, tokenize, and how it is.

The server sees this page of types and nothing behind it. All texts are Unicode, all times are seconds
of `time.monotonic()` unless the name says otherwise, all token ids are the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Protocol, Self

Token = int

SEEDS: Final = 2**32 - 1
"""llama.cpp's seeds are below this one, by which it means "draw one"."""


class EngineState(StrEnum):
    """Where the engine is in its life."""

    STARTING = "starting"  # loading weights or warming up
    READY = "ready"  # admits requests
    UNLOADED = "unloaded"  # not in memory: the next request loads it, and waits meanwhile
    DRAINING = "draining"  # finishes what it has, admits nothing
    FAILED = "failed"  # the loop has died or a step hangs; a restart is due
    STOPPED = "stopped"  # closed on purpose


class FinishReason(StrEnum):
    """Why a choice ended."""

    STOP = "stop"  # end-of-generation token or stop string
    LENGTH = "length"  # max_tokens or the context ran out
    CANCELLED = "cancelled"  # the client went away
    TIMEOUT = "timeout"  # the request's deadline passed
    ERROR = "error"  # the engine failed underneath


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen; the names and ranges are OpenAI's and llama.cpp's.

    `temperature` 0 is greedy. `seed` None draws one from the operating system. `top_logprobs` None means
    that no log probabilities are computed. `grammar` is GBNF, `json_schema` a JSON Schema as JSON text:
    at most one of them is given.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_last_n: int = 64
    seed: int | None = None
    logit_bias: Mapping[Token, float] = field(default_factory=dict)
    top_logprobs: int | None = None
    stop: Sequence[str] = ()
    max_tokens: int | None = None
    ignore_eos: bool = False
    grammar: str | None = None
    json_schema: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as 8-bit RGB, row by row from the top left: `width * height * 3` bytes."""

    width: int
    height: int
    rgb: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """A run of `cells` in a prompt that an image fills; `start` is the index of the first.

    `positions` is how far the text behind it moves on, which M-RoPE makes fewer than cells. `causal` tells
    whether its cells see only those before them. `digest` stands for the content, `handle` is the engine's.
    """

    start: int
    cells: int
    positions: int
    causal: bool
    digest: bytes
    handle: Any = field(repr=False, compare=False)

    @property
    def end(self) -> int:
        """Index behind its last cell."""
        return self.start + self.cells


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """What stands in a prompt for one image: tokens around it, and negative ids where it is itself."""

    tokens: tuple[Token, ...]
    spans: tuple[ImageSpan, ...]

    def at(self, start: int) -> tuple[ImageSpan, ...]:
        """The spans of a prompt in which it begins at index `start`."""
        return tuple(replace(span, start=start + span.start) for span in self.spans)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One request for `n` completions of one prompt.

    `client` is what the scheduler is fair between. `deadline` is a `time.monotonic()` instant. `images` says
    where images stand in the prompt, in order. `adapter` names a LoRA adapter, or none.
    """

    request_id: str
    prompt: Sequence[Token]
    sampling: SamplingParams
    client: str = "anonymous"
    n: int = 1
    deadline: float | None = None
    images: Sequence[ImageSpan] = ()
    adapter: str = ""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token with its natural-log probability under the model, before any sampler."""

    token: Token
    text: str
    utf8: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class ChosenLogprob:
    """The chosen token and its most likely alternatives, best first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request; `cached_tokens` of the prompt came from the prefix cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations in seconds: waiting, prompt processing, and generation after the first token."""

    queue: float
    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that became certain for choice `index`; it may be empty and may span several tokens.

    The last delta of a choice carries `finish`, and `stop` if a stop string ended it. The last delta of the
    request also carries `usage` and `timings`.
    """

    index: int
    text: str
    tokens: tuple[Token, ...] = ()
    logprobs: tuple[ChosenLogprob, ...] = ()
    finish: FinishReason | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well each document answers a query, 0 to 1, in the order given; `tokens` is what was read."""

    scores: tuple[float, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is loaded; it does not change while the engine lives.

    `size_bytes` is the tensors' total, `n_params` the parameter count, `eos_text` and `bos_text` are the
    special tokens as the chat template wants them. `chat_template` is the GGUF's Jinja source, if any.
    `control_tokens` are the texts that `tokenize(parse_special=True)` reads as control tokens. `sees` tells
    whether it takes images.
    """

    model: str
    architecture: str
    description: str
    n_vocab: int
    n_embd: int
    n_layers: int
    n_context_train: int
    n_context: int
    n_parallel: int
    n_params: int
    size_bytes: int
    threads: int
    threads_batch: int
    kv_cache: str
    flash_attention: bool
    mlocked: bool
    pooling: str
    chat_template: str | None
    bos_text: str
    eos_text: str
    control_tokens: frozenset[str]
    sees: bool


@dataclass(frozen=True, slots=True)
class SlotStats:
    """One live sequence, for `/slots`."""

    slot: int
    request_id: str
    client: str
    phase: str
    prompt_tokens: int
    cached_tokens: int
    prefilled_tokens: int
    generated_tokens: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram: `counts[i]` observations up to `bounds[i]`, the last count those above all bounds."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since start and gauges of now; tokens unless said otherwise, `*_seconds_total` in seconds.

    `queue_times`, `prefill_times` and `decode_times` count requests that reached the phase, by seconds;
    `inter_token_times` counts tokens after a choice's first. Of `drafted_tokens_total` guesses,
    `accepted_tokens_total` were right.
    """

    state: EngineState
    requests_running: int
    requests_waiting: int
    waiting_prompt_tokens: int
    prompt_tokens_total: int
    cached_tokens_total: int
    generated_tokens_total: int
    prefill_seconds_total: float
    decode_seconds_total: float
    steps_total: int
    busy_slots_total: int
    requests_finished_total: Mapping[str, int]
    queue_times: Distribution
    prefill_times: Distribution
    decode_times: Distribution
    inter_token_times: Distribution
    drafted_tokens_total: int
    accepted_tokens_total: int
    kv_cells_used: int
    kv_cells: int
    last_step: float
    slots: tuple[SlotStats, ...]


class EngineError(Exception):
    """Base of what an engine refuses; the message is fit for the client.

    EngineError
    ├── InvalidRequestError      the request can never work; `param` names the field
    │   └── ContextLengthError   prompt and completion exceed the context
    ├── QueueFullError           not now; `retry_after` says when
    └── EngineUnavailableError   starting, draining or failed
    """


class InvalidRequestError(EngineError):
    """The request can never work; `param` is the OpenAI field at fault."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class ContextLengthError(InvalidRequestError):
    """Prompt plus requested completion exceed the context."""

    def __init__(self, *, prompt_tokens: int, max_tokens: int | None, context: int) -> None:
        wanted = f" and {max_tokens} were asked for" if max_tokens is not None else ""
        super().__init__(
            f"This model's context is {context} tokens; the prompt has {prompt_tokens}{wanted}. "
            "Shorten the prompt or lower max_tokens.",
            param="messages",
        )
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.context = context


class QueueFullError(EngineError):
    """The bounded queue is full; `retry_after` is seconds, from measured throughput."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EngineUnavailableError(EngineError):
    """The engine is starting, draining or failed; `retry_after` is seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GenerationStream(Protocol):
    """The deltas of one request, for one reader.

    Ends after the delta that carries `usage`. Closing it, cancelling the task that reads it, or dropping it
    before that cancels the request within one step.
    """

    def __aiter__(self) -> Self:
        """The stream itself."""

    async def __anext__(self) -> Delta:
        """The next delta, as soon as there is one."""

    async def aclose(self) -> None:
        """Leave; idempotent."""


class Engine(Protocol):
    """One loaded model. Every method may be called from the event loop; none blocks it for long."""

    @property
    def info(self) -> EngineInfo:
        """What is loaded. Raises EngineUnavailableError until loading has come that far."""

    async def start(self) -> None:
        """Load, warm up with one real completion, and become READY; raises EngineError on failure."""

    async def submit(self, request: GenerationRequest) -> GenerationStream:
        """Queue a request and return the stream of its deltas.

        Checks and admission happen in this call: it raises InvalidRequestError, QueueFullError or
        EngineUnavailableError before anything is queued.
        """

    async def prepare_image(self, image: Image) -> ImagePrompt:
        """How the model reads an image; raises InvalidRequestError if it reads text only."""

    def cancel(self, request_id: str) -> None:
        """End the request within one step; unknown ids are ignored."""

    async def embed(self, inputs: Sequence[Sequence[Token]]) -> list[list[float]]:
        """One pooled, L2-normalised vector per input; raises InvalidRequestError if the model cannot."""

    async def rank(self, query: str, documents: Sequence[str]) -> Ranking:
        """Score documents by a query; raises InvalidRequestError if the model cannot."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[Token]:
        """Token ids of a text; `parse_special` reads control tokens written in the text as such."""

    def detokenize(self, tokens: Sequence[Token]) -> str:
        """Text of tokens, control tokens rendered; bytes that are no UTF-8 become U+FFFD."""

    def stats(self) -> EngineStats:
        """Counters and gauges of this instant."""

    def heartbeat(self) -> float:
        """Instant at which the loop last proved to be alive; stands still while a step hangs."""

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 -- the bound is the engine's to keep
        """Admit nothing more, finish what was accepted within `timeout` seconds, cancel the rest, stop."""
