"""A process that renders one chat template: JSON lines in, JSON lines out, under resource limits.

It is run by path (`python -I template_worker.py`) and imports nothing of this package. `{"source": …}`
sets the template, `{"variables": …}` renders it. Each is answered by `{"text": …}` or `{"error": …}`.
A template that eats memory meets RLIMIT_AS; one that never ends is killed by the parent.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import sys
from typing import Any, Final, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

ADDRESS_SPACE: Final = 1 << 30
"""Bytes of RLIMIT_AS."""

LONGEST_TEMPLATE: Final = 262_144
"""Characters of a template; the longest in common use have about 20,000."""

LONGEST_OUTPUT: Final = 32 * 2**20
"""Characters of a rendered prompt."""

LONGEST_ERROR: Final = 200


class Refused(Exception):  # noqa: N818 -- it is the template's word, not a fault
    """What `raise_exception` raises."""


class GenerationTag(Extension):
    """`{% generation %}`: marks the assistant's tokens for training; here it is its own body."""

    tags = {"generation"}  # noqa: RUF012 -- jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements up to `{% endgeneration %}`."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def compiled(source: str) -> Template:
    """The template in the environment that transformers gives it: its globals, filters and trimming."""
    if len(source) > LONGEST_TEMPLATE:
        raise Refused(f"it has {len(source)} characters, {LONGEST_TEMPLATE} are taken")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationTag]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(source)


def rendered(template: Template, variables: dict[str, Any]) -> str:
    """The output, refused beyond `LONGEST_OUTPUT`."""
    pieces: list[str] = []
    size = 0
    for piece in template.generate(variables):
        size += len(piece)
        if size > LONGEST_OUTPUT:
            raise Refused(f"its output is longer than {LONGEST_OUTPUT} characters")
        pieces.append(piece)
    return "".join(pieces)


def main() -> None:
    """Answer lines until the parent goes away."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    template = compiled("")
    for line in sys.stdin.buffer:
        try:
            message = json.loads(line)
            if "source" in message:
                template = compiled(message["source"])
                answer = {"text": ""}
            else:
                answer = {"text": rendered(template, message["variables"])}
        except (Refused, TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as exc:
            answer = {"error": str(exc)[:LONGEST_ERROR]}
        except (MemoryError, RecursionError):
            answer = {"error": "it needs too much memory"}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _tojson(value: Any, indent: int | None = None, **options: Any) -> str:
    """JSON as transformers writes it: no HTML escapes, Unicode as it is."""
    options.setdefault("ensure_ascii", False)
    return json.dumps(value, indent=indent, **options)


def _raise_exception(message: str) -> NoReturn:
    raise Refused(message)


def _strftime_now(style: str) -> str:
    return dt.datetime.now().astimezone().strftime(style)


if __name__ == "__main__":
    main()
