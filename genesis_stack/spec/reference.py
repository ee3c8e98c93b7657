"""The stack reference: every setting of stack.yaml as a page of Markdown, made of its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, get_args

from genesis_stack.spec import fields
from genesis_stack.spec.schema import stack_schema
from genesis_stack.spec.units import DURATION_PATTERN, FRACTION_PATTERN, RATE_PATTERN, SIZE_PATTERN

Schema = dict[str, Any]

HEAD: Final = """\
# Stack reference

Every setting of `stack.yaml`. This page is made of the models that validate the file: it is what
`genesis-stack schema --reference` prints; `genesis-stack schema` prints the same as JSON Schema for editors.
What holds *between* settings (ports that differ, names that lead somewhere, memory that fits) is checked by
`genesis-stack validate`, with line and column.

| value | is written |
|---|---|
| size | `8GiB` (2^30 bytes each), `4.9GB` (10^9), `512MiB`, or a whole number of bytes |
| duration | `250ms`, `10s`, `5m`, `1h30m`, `7d`, or a number of seconds |
| share | `1%`, or a number from 0 to 1 |
| rate | `60/min`, `10/s`, `1000/h`, or a number per second |
| name | lower-case letters, digits and inner hyphens, at most 48 characters |
| secret's name | letters, digits and inner `_`, `.`, `-`; the secret itself is never in the file |

`NAME` stands for a name that you choose, `[]` for each entry of a list. A setting without a default may be
left out unless it is **required**.
"""

_SIZES: Final = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_TIMES: Final = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_MANY: Final = 12
"""From so many allowed keys on, a table's cell only says that they are given."""


def _size(value: float) -> str:
    return next(
        (f"{value / unit:g}{name}" for unit, name in _SIZES if value and value % unit == 0), f"{value:g}"
    )


def _duration(value: float) -> str:
    whole = next((f"{value / unit:g}{name}" for unit, name in _TIMES if value and value % unit == 0), None)
    return whole or f"{value * 1000:g}ms"


_QUANTITIES: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    SIZE_PATTERN: ("size", _size),
    DURATION_PATTERN: ("duration", _duration),
    FRACTION_PATTERN: ("share", lambda value: f"{value:.0%}"),
    RATE_PATTERN: ("rate", lambda value: f"{value:g}/s"),
}
"""Pattern → (what the value is called, how a default in canonical units is written)."""

_TEXTS: Final = {
    get_args(kind)[1].regex: word
    for kind, word in (
        (fields.Name, "name"),
        (fields.AlertName, "alert's name"),
        (fields.Digest, "SHA-256, 64 hexadecimal digits"),
        (fields.SecretName, "secret's name"),
        (fields.Url, "URL"),
        (fields.AbsolutePath, "absolute path"),
    )
}


def stack_reference() -> str:
    """The page."""
    schema = stack_schema()
    definitions: dict[str, Schema] = schema["$defs"]
    homes = _homes(schema, definitions)
    parts = [_section("stack.yaml", schema, homes)]
    parts += [
        _section(path, definitions[name], homes) for path, name in _in_order(schema, definitions, homes)
    ]
    return "\n".join([HEAD, *parts])


def _homes(schema: Schema, definitions: dict[str, Schema]) -> dict[str, str]:
    """Where each definition is described: the first of its shallowest places; the others link to it."""
    homes: dict[str, str] = {}
    layer = [("", schema)]
    while layer:
        found = [place for path, body in layer for place in _parts(path, body)]
        layer = []
        for path, name in found:
            if name not in homes:
                homes[name] = path
                layer.append((path, definitions[name]))
    return homes


def _in_order(
    body: Schema, definitions: dict[str, Schema], homes: dict[str, str], path: str = ""
) -> Iterator[tuple[str, str]]:
    """Path and definition of every section, in the order of the file."""
    for below, name in _parts(path, body):
        if homes[name] == below:
            yield below, name
            yield from _in_order(definitions[name], definitions, homes, below)


def _parts(path: str, body: Schema) -> Iterator[tuple[str, str]]:
    """Path and definition of what the settings of one section consist of."""
    for key, setting in body["properties"].items():
        below = f"{path}.{key}" if path else key
        for found, suffix in _references(setting):
            yield below + suffix, found


def _references(setting: Schema) -> Iterator[tuple[str, str]]:
    match setting:
        case {"$ref": str() as reference}:
            yield reference.rpartition("/")[2], ""
        case {"anyOf": list() as choices}:
            for choice in choices:
                yield from _references(choice)
        case {"items": dict() as entry}:
            yield from ((name, f"[]{suffix}") for name, suffix in _references(entry))
        case {"additionalProperties": dict() as entry}:
            yield from ((name, f".NAME{suffix}") for name, suffix in _references(entry))


def _section(title: str, body: Schema, homes: dict[str, str]) -> str:
    required = set(body.get("required", ()))
    lines = [
        f"## `{title}`",
        "",
        body["description"],
        "",
        "| setting | value | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, setting in body["properties"].items():
        default = "**required**" if key in required else _default(setting)
        cells = (f"`{key}`", _value(setting, homes), default, setting["description"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _value(setting: Schema, homes: dict[str, str]) -> str:
    match setting:
        case {"$ref": str() as reference}:
            path = homes[reference.rpartition("/")[2]]
            return f"[`{path}`](#{re.sub(r'[^a-z0-9_-]', '', path.lower())})"
        case {"anyOf": list() as choices}:
            return _choice([_value(choice, homes) for choice in choices if choice.get("type") != "null"])
        case {"items": dict() as entry, "type": "array"}:
            return f"list: {_value(entry, homes)}"
        case {"additionalProperties": dict() as entry}:
            return f"{_key(setting['propertyNames'])}: {_value(entry, homes)}"
    return _single(setting)


def _choice(words: list[str]) -> str:
    """Beside a quantity the number that it stands for is not told: the head of the page tells it once."""
    quantities = {name for name, _ in _QUANTITIES.values()}
    if quantities & set(words):
        words = [word for word in words if word in quantities or "`" in word]
    return " or ".join(words)


def _single(setting: Schema) -> str:
    match setting:
        case {"const": constant}:
            return _word(str(constant))
        case {"enum": list() as allowed}:
            return ", ".join(_word(one) for one in allowed)
        case {"type": "boolean"}:
            return "`true`, `false`"
        case {"type": "integer" | "number"}:
            return _range(setting)
        case {"pattern": str() as pattern}:
            return _QUANTITIES[pattern][0] if pattern in _QUANTITIES else _TEXTS.get(pattern, "text")
    return "text"


def _word(text: str) -> str:
    return '`"off"`' if text == "off" else f"`{text}`"  # without quotes YAML 1.1 reads it as false


def _key(names: Schema) -> str:
    allowed = names.get("enum", ())
    if 0 < len(allowed) <= _MANY:
        return ", ".join(f"`{one}`" for one in allowed)
    return "directive" if allowed else "NAME"


def _range(setting: Schema) -> str:
    least, above = setting.get("minimum"), setting.get("exclusiveMinimum")
    most = setting.get("maximum")
    what = "whole number" if setting["type"] == "integer" else "number"
    if above is not None:
        return f"{what} above {above:,g}" + (f", at most {_number(most)}" if most is not None else "")
    if least is None:
        return what
    return (
        f"{_number(least)} to {_number(most)}" if most is not None else f"{what}, at least {_number(least)}"
    )


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _default(setting: Schema) -> str:
    value = setting.get("default")
    match value:
        case None | "":
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"`{_written(setting)(value)}`"
        case _:
            return _word(value)


def _written(setting: Schema) -> Callable[[float], str]:
    for choice in setting.get("anyOf", ()):
        if choice.get("pattern") in _QUANTITIES:
            return _QUANTITIES[choice["pattern"]][1]
    return lambda value: f"{value:g}"
