"""Images in prompts, with a tiny Qwen3-VL, and llama.cpp's own helper to compare with."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from engine.mtmd_reference import greedy
from engine.running import Answer, collect, request, running
from engine.tiny_vision import VisionFiles, write_gemma, write_vision_model
from genesis_stack.engine.interface import GenerationRequest, Image, InvalidRequestError, QueueFullError
from genesis_stack.engine.llama import LlamaEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "<|im_start|>user\nWhat differs between {} and {}?<|im_end|>\n<|im_start|>assistant\n"
TOKENS = 12


def noise(width: int, height: int, seed: int) -> Image:
    """A picture of random pixels."""
    return Image(width, height, random.Random(seed).randbytes(width * height * 3))


TALL, WIDE, SQUARE = noise(64, 200, 1), noise(224, 96, 2), noise(160, 160, 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> VisionFiles:
    """The tiny model."""
    return write_vision_model(tmp_path_factory.mktemp("vision"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(files: VisionFiles) -> AsyncGenerator[LlamaEngine]:
    """It, served; the batch is so small that an image takes several steps."""
    async with running(files.weights, projector=files.projector, context=512, batch=32) as ready:
        yield ready


async def asking(engine: LlamaEngine, images: Sequence[Image], text: str = QUESTION) -> GenerationRequest:
    """A request whose `{}` are the images."""
    tokens: list[int] = []
    spans = []
    for number, piece in enumerate(text.split("{}")):
        tokens += engine.tokenize(piece, add_special=number == 0, parse_special=True)
        if number < len(images):
            prompt = await engine.prepare_image(images[number])
            spans += prompt.at(len(tokens))
            tokens += prompt.tokens
    return request(engine, tokens, images=spans, max_tokens=TOKENS, ignore_eos=True)


async def look(engine: LlamaEngine, *images: Image) -> Answer:
    """The answer to the question about two images."""
    return await collect(await engine.submit(await asking(engine, images)))


@pytest.mark.parametrize("images", [(TALL, WIDE), (WIDE, SQUARE), (SQUARE, SQUARE)])
async def test_it_sees_what_llama_cpp_sees(
    engine: LlamaEngine, files: VisionFiles, images: tuple[Image, Image]
) -> None:
    """Greedy tokens equal those of llama.cpp's helper, also when the images come from the cache."""
    expected = greedy(files, QUESTION.format("<__media__>", "<__media__>"), images, count=TOKENS)
    assert list((await look(engine, *images)).tokens) == expected
    again = await look(engine, *images)
    assert list(again.tokens) == expected
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1


async def test_images_without_a_causal_mask_are_read_in_one_piece(tmp_path: Path) -> None:
    """As llama.cpp's helper reads them, in company and from the cache; never in a batch that is too small."""
    gemma = write_gemma(tmp_path)
    images = (noise(64, 200, 101), noise(160, 90, 201))  # whose answer the mask changes
    expected = greedy(gemma, QUESTION.format("<__media__>", "<__media__>"), images, count=TOKENS)
    async with running(gemma.weights, projector=gemma.projector, context=512, batch=64) as engine:
        seen = await asking(engine, images)
        assert not any(span.causal for span in seen.images)
        together = await asyncio.gather(*(look(engine, *pair) for pair in (images, images[::-1], images)))
        assert [list(answer.tokens) == expected for answer in together] == [True, False, True]
        assert list((await look(engine, *images)).tokens) == expected
    async with running(gemma.weights, projector=gemma.projector, context=512, batch=32) as engine:
        with pytest.raises(InvalidRequestError, match=r"engine\.batch"):
            await look(engine, *images)


async def test_an_image_that_was_read_is_shared_by_the_next_prompt(engine: LlamaEngine) -> None:
    """As far as the same images stand at the same places, and no further."""
    await look(engine, TALL, WIDE)
    other = await look(engine, TALL, SQUARE)
    first = await asking(engine, (TALL, WIDE))
    assert other.usage.cached_tokens >= first.images[0].end
    assert other.usage.cached_tokens <= first.images[1].start
    assert (await look(engine, noise(64, 200, 4), WIDE)).usage.cached_tokens == first.images[0].start


async def test_company_does_not_change_what_is_seen(engine: LlamaEngine) -> None:
    """Images and texts in one batch: everyone's answer is the one that it gets alone."""
    pairs = [(TALL, WIDE), (WIDE, TALL), (SQUARE, TALL), (TALL, TALL)]
    alone = [(await look(engine, *pair)).tokens for pair in pairs]
    text = (await collect(await engine.submit(request(engine, "Hello", max_tokens=TOKENS)))).tokens
    together = await asyncio.gather(
        *(look(engine, *pair) for pair in pairs),
        collect(await engine.submit(request(engine, "Hello", max_tokens=TOKENS))),
    )
    assert [answer.tokens for answer in together] == [*alone, text]
    assert len(set(alone)) == len(pairs)


async def test_images_come_back_from_host_memory(files: VisionFiles) -> None:
    """A prefix with images that had to leave the KV cache answers the same when it is recalled."""
    async with running(
        files.weights, projector=files.projector, context=256, parallel=1, prefix_cache_ram=2**26
    ) as engine:
        first = await look(engine, TALL, WIDE)
        await look(engine, SQUARE, TALL)
        await look(engine, WIDE, SQUARE)
        again = await look(engine, TALL, WIDE)
        assert again.tokens == first.tokens
        assert again.usage.cached_tokens > first.usage.cached_tokens


async def test_streams_go_on_while_an_image_is_encoded(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that was asked for later is answered before an encoder that takes its time."""
    worker = engine._worker
    assert worker is not None
    assert worker.projector is not None
    encode, gate = worker.projector.encode, threading.Event()
    monkeypatch.setattr(worker.projector, "encode", lambda span: encode(span) if gate.wait(30) else b"")
    seeing = asyncio.create_task(look(engine, noise(96, 96, 10), noise(96, 96, 11)))
    await collect(await engine.submit(request(engine, "Hello", max_tokens=TOKENS)))
    assert not seeing.done()
    gate.set()
    assert len((await seeing).tokens) == TOKENS


async def test_who_leaves_while_an_image_is_encoded_holds_nothing(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither memory nor a place, and the next one sees as if nothing had been."""
    worker = engine._worker
    assert worker is not None
    assert worker.projector is not None
    images = noise(96, 96, 20), noise(96, 96, 21)
    encode, gate = worker.projector.encode, threading.Event()
    monkeypatch.setattr(worker.projector, "encode", lambda span: encode(span) if gate.wait(30) else b"")
    leaving = asyncio.create_task(look(engine, *images))
    staying = asyncio.create_task(look(engine, *images))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.set()
    assert len((await staying).tokens) == TOKENS
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert engine._images is not None
    assert [entry.users for entry in engine._images._entries.values()] == [0] * len(engine._images._entries)


async def test_memory_for_images_is_bounded(files: VisionFiles) -> None:
    """Requests wait for room, the oldest idle image goes first, and a longer line is refused."""
    bytes_of_two = 2 * 4 * 9 * 192  # 96 x 96 pixels are 3 x 3 tokens of 192 numbers
    async with running(
        files.weights,
        projector=files.projector,
        context=256,
        image_memory=bytes_of_two,
        queue_requests=2,
    ) as engine:
        encoder = engine._images
        assert encoder is not None
        spans = [
            [
                span
                for image in (noise(96, 96, n), noise(96, 96, n + 50))
                for span in (await engine.prepare_image(image)).spans
            ]
            for n in range(5)
        ]
        assert spans[0][0].cells == 9
        await encoder.load(spans[0])
        line = [asyncio.create_task(encoder.load(two)) for two in spans[1:3]]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await encoder.load(spans[3])
        assert not any(task.done() for task in line)
        encoder.release(spans[0])
        await line[0]
        assert not line[1].done()
        assert encoder._held <= bytes_of_two
        line[1].cancel()
        encoder.release(spans[1])
        await encoder.load(spans[4])
        encoder.release(spans[4])
        assert encoder._held <= bytes_of_two


async def test_a_model_without_a_projector_refuses_images(smollm2: Path) -> None:
    """With the field at fault."""
    async with running(smollm2) as engine:
        with pytest.raises(InvalidRequestError, match="reads text only"):
            await engine.prepare_image(SQUARE)


async def test_a_prompt_that_ends_with_an_image_is_refused(engine: LlamaEngine) -> None:
    """There would be no row to sample from."""
    prompt = await engine.prepare_image(SQUARE)
    end = prompt.spans[-1].end
    with pytest.raises(InvalidRequestError, match="end with an image"):
        await engine.submit(request(engine, list(prompt.tokens[:end]), images=prompt.spans))


async def test_the_ids_that_stand_for_images_are_no_tokens(engine: LlamaEngine) -> None:
    """A client that guesses one gets a refusal, not somebody's image."""
    prompt = await engine.prepare_image(SQUARE)
    with pytest.raises(InvalidRequestError, match="no token"):
        await engine.submit(request(engine, list(prompt.tokens)))


async def test_a_large_image_is_scaled_down_to_the_declared_tokens(files: VisionFiles) -> None:
    """So that no image takes more of the context than the operator wants."""
    async with running(files.weights, projector=files.projector, context=256, image_tokens=32) as engine:
        prompt = await engine.prepare_image(noise(640, 640, 7))
        assert sum(span.cells for span in prompt.spans) <= 32
