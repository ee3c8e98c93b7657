"""`make coverage` measures what runs inside a host as well: coverage.py's settings go in, its data come out.

coverage.py tells subprocesses by COVERAGE_PROCESS_CONFIG, its own settings in base64; see its manual,
"Measuring subprocesses". Where nothing is measured there is nothing here.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_VARIABLE: Final = "COVERAGE_PROCESS_CONFIG"
ENVIRONMENT: Final[Mapping[str, str]] = {
    name: os.environ[name] for name in (_VARIABLE,) if name in os.environ
}
FOLDERS: Final = tuple(
    Path(json.loads(base64.b64decode(settings))["data_file"]).parent for settings in ENVIRONMENT.values()
)
"""Where the data are written: the same place inside and outside, of this machine alone."""
