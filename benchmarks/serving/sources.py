"""Fetches and builds the peers into a cache folder, from the sources of the llama-cpp-python in use."""

from __future__ import annotations

import os
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

from genesis_stack.process import run

_BUILD_TIMEOUT = 3600.0
_PACKAGED_SERVER_NEEDS = ("sse-starlette>=1.6.1", "starlette-context>=0.3.6,<0.4")
_EXAMPLE_SERVER_NEEDS = ("safetensors", "websockets", "openai")


class SourceError(Exception):
    """A peer cannot be had; the message says why and what to do."""


def llama_cpp_python(cache: Path) -> Path:
    """The unpacked source distribution of the installed llama-cpp-python; downloads it once."""
    name = f"llama_cpp_python-{version('llama-cpp-python')}"
    folder = cache / name
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    requirement = name.replace("_", "-").replace("python-", "python==")
    run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:all:", "-d", cache, requirement],
        timeout=_BUILD_TIMEOUT,
    )
    with tarfile.open(cache / f"{name}.tar.gz") as archive:
        archive.extractall(cache, filter="data")
    return folder


def build_llama_server(cache: Path) -> Path:
    """`llama-server` of the very llama.cpp that llama-cpp-python vendors; minutes the first time."""
    source = llama_cpp_python(cache) / "vendor" / "llama.cpp"
    build = source / "build"
    binary = build / "bin" / "llama-server"
    if binary.is_file():
        return binary
    options = ("-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_UI=OFF")
    run(
        ["cmake", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", *options],
        timeout=_BUILD_TIMEOUT,
    )
    targets = ("llama-server", "llama-bench", "llama-batched-bench")
    jobs = str(os.cpu_count() or 1)
    run(["cmake", "--build", build, "-j", jobs, "--target", *targets], timeout=_BUILD_TIMEOUT)
    return binary


def packaged_server_packages(cache: Path) -> Path:
    """A folder with what `llama_cpp.server` needs beyond our own dependencies."""
    return _install(cache / "packaged-server", _PACKAGED_SERVER_NEEDS)


def example_server_packages(cache: Path) -> Path:
    """A folder with what `examples/server` needs beyond our own dependencies."""
    return _install(cache / "example-server", _EXAMPLE_SERVER_NEEDS)


def _install(folder: Path, requirements: tuple[str, ...]) -> Path:
    if not folder.is_dir():
        run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "-t", folder, *requirements],
            timeout=_BUILD_TIMEOUT,
        )
    return folder


def example_server_script(cache: Path) -> Path:
    """The script of `examples/server`; raises SourceError where the source distribution lacks it."""
    script = llama_cpp_python(cache) / "examples" / "server" / "server.py"
    if not script.is_file():
        raise SourceError(f"{script} is missing: leave examples/server out of --peers")
    return script
