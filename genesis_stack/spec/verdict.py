"""What pydantic says about the values of a stack, said at their lines in plain words."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from genesis_stack.spec.document import Document
from genesis_stack.spec.problems import Path, Problem, did_you_mean, guess, show_path, show_text

_SENTENCES: Final = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a mapping of `name: value` lines",
    "model_type": "must be a mapping of `key: value` lines",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length}",
    "too_long": "takes at most {max_length}",
}
UNKNOWN_KEY: Final = "unknown key"

_KEY: Final = "[key]"  # what pydantic ends the location of a bad key with


def problems_of(
    error: ValidationError, document: Document, root: type[BaseModel]
) -> Iterator[tuple[Path, Problem]]:
    """Each problem with the path it is about, except that a key is missing where a merge was to bring it."""
    for detail in error.errors(include_url=False):
        if detail["type"] != "missing" or detail["loc"][:-1] not in document.merged:
            yield problem_of(detail, document, root)


def problem_of(detail: ErrorDetails, document: Document, root: type[BaseModel]) -> tuple[Path, Problem]:
    """One problem with the path it is about."""
    path = detail["loc"]
    is_key = path[-1:] == (_KEY,) and document.positions.known(path) != path  # a key may also be called that
    match detail["type"]:
        case "missing":
            return path, _missing(path, document, root)
        case "extra_forbidden":
            return path, _unknown(path, document, root)
        case _:
            at = document.positions.known(path)
            return at, _wrong(detail, at, document, root, is_key=is_key)


def _missing(path: Path, document: Document, root: type[BaseModel]) -> Problem:
    mark = document.positions.of_key(path[:-1])
    hint = _description(path, root)
    return Problem(document.name, mark.line, mark.column, show_path(path), "is required", hint)


def _unknown(path: Path, document: Document, root: type[BaseModel]) -> Problem:
    mark = document.positions.of_key(path)
    hint = did_you_mean(str(path[-1]), fields_at(path[:-1], root))
    return Problem(document.name, mark.line, mark.column, show_path(path), UNKNOWN_KEY, hint)


def _wrong(
    detail: ErrorDetails, path: Path, document: Document, root: type[BaseModel], *, is_key: bool
) -> Problem:
    context = detail.get("ctx", {})
    given = detail["input"]
    hint = context.get("hint")
    if detail["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        listed = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
        what = f"must be {listed}" + _given(given, shown=True)
        hint = guess(given, choices) if isinstance(given, str) else None
    elif sentence := _SENTENCES.get(detail["type"]):
        what = sentence.format_map(context) + _given(given)
        hint = hint or _quotes(detail["type"], given)
    else:
        what = detail["msg"] + _given(given)
    mark = document.positions.of_key(path) if is_key else document.positions.of_value(path)
    hint = hint or _description(path, root)
    return Problem(document.name, mark.line, mark.column, show_path(path), what, hint)


def _description(path: Path, root: type[BaseModel]) -> str | None:
    """What the setting at a path, or the nearest one around it, is for."""
    if not path:
        return "`genesis-stack init` writes a stack to start from"
    fields = fields_at(path[:-1], root)
    return fields[str(path[-1])].description if path[-1] in fields else _description(path[:-1], root)


def _given(value: object, *, shown: bool = False) -> str:
    """What stands there instead; texts only where nobody could have written a secret."""
    match value:
        case None:
            return ", not empty"
        case bool() | int() | float():
            return f", not {str(value).lower()}"
        case str() if shown:
            return f", not {show_text(value)}"
        case tuple() | Mapping():
            return ", not a list" if isinstance(value, tuple) else ", not a mapping"
    return ""


def _quotes(kind: str, value: object) -> str | None:
    """The remedy for a number in quotes, and for text without."""
    match kind, value:
        case (("int_type" | "float_type"), str()) if re.fullmatch(r"[-+]?[0-9.]+", value):
            return "remove the quotes"
        case "bool_type", ("true" | "false"):
            return "remove the quotes"
        case "string_type", (bool() | int() | float()):
            return "quote it"
    return None


def fields_at(path: Path, root: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys that the mapping at `path` may have, as they are written; empty where any name may stand."""
    model: Any = root
    for part in path:
        model = _inside(model, part)
    fields: dict[str, FieldInfo] = getattr(model, "model_fields", {})
    return {info.alias or name: info for name, info in fields.items()}


def _inside(model: Any, part: str | int) -> Any:
    """The type of what `part` leads to in a value of type `model`."""
    origin = get_origin(model)
    if origin is dict:
        return _bare(get_args(model)[1])
    if origin is tuple:
        return _bare(get_args(model)[0])
    for name, info in getattr(model, "model_fields", {}).items():
        if part == (info.alias or name):
            return _bare(info.annotation)
    return None


def _bare(annotation: Any) -> Any:
    """The type without Optional around it."""
    if get_origin(annotation) in {Union, types.UnionType}:
        return next(choice for choice in get_args(annotation) if choice is not type(None))
    return annotation
