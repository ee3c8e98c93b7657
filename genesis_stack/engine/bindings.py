"""The low-level bindings of llama-cpp-python, without the rest of that package.

`import llama_cpp` also imports its high-level classes, and with them numpy, jinja2 and diskcache: three
quarters of a second on a small machine, more than the whole start of a server may take. The low-level
module needs none of them, so the package's own initialisation is left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import logging
import os
import sys
import types
from typing import Any

_log = logging.getLogger("genesis.llama_cpp")

_LEVELS = {2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
"""ggml_log_level → ours. llama.cpp says at "info" what only a developer wants to know."""


os.environ.setdefault("GOMP_SPINCOUNT", "1000")
"""What suits a machine on which others compute too, unless the process was told something else before; see
`EngineConfig.spin_count`. libgomp reads it when it is loaded."""


def _low_level() -> Any:
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("llama-cpp-python is not installed")
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    import llama_cpp.llama_cpp as low_level

    return low_level


lib: Any = _low_level()
"""The functions and structs of llama.h, under their own names."""


def _forward_log(level: int, text: bytes, _data: ctypes.c_void_p) -> None:
    if level in _LEVELS:
        _log.log(_LEVELS[level], "%s", text.decode("utf-8", "replace").rstrip())


log_callback: Any = None
"""Takes llama.cpp's messages to logging, where that is possible."""
with contextlib.suppress(MemoryError):
    # A sandbox may forbid the executable page that a ctypes callback needs (MemoryDenyWriteExecute with
    # no executable path to write to). llama.cpp then speaks to stderr itself.
    log_callback = lib.llama_log_callback(_forward_log)


def initialise() -> None:
    """Set llama.cpp up once per process and send its messages to logging where that is possible."""
    if log_callback is not None:
        lib.llama_log_set(log_callback, None)
    lib.llama_backend_init()
