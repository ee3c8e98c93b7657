"""Escaping, judged by the systemd that reads it."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from genesis_stack.render.unitfile import Directive, Section, exec_word, literal, path_word, unit
from hosts.nspawn import Host

pytestmark = pytest.mark.host

WORDS = (
    "plain",
    "",
    "two words",
    "100%n",
    "$HOME ${HOME} $$",
    """single ' and double " quotes""",
    "back\\slash\\n",
    "line\nend\tand tab",
    ";",
    "#comment",
    "@+-!:prefixes",
    "ünïcödé 模型",
    "\x07bell",
    "trailing\\",
)


def test_a_program_gets_exactly_the_words_that_were_meant(host: Host) -> None:
    """No word splits, expands or ends the line."""
    show = "import sys; open('/run/words', 'w').write(repr(sys.argv[1:]))"
    command = " ".join(exec_word(word) for word in ("/usr/bin/python3", "-c", show, *WORDS))
    lines = (
        Directive("Type", "oneshot"),
        Directive("ExecStart", command),
        Directive("Environment", "LANG=C.UTF-8"),
    )
    host.write("/etc/systemd/system/words.service", unit("a test", [Section("Service", lines)]))
    host.systemctl("start", "words.service")
    assert host.read("/run/words") == repr(list(WORDS))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("50% of $HOME", "50% of $HOME"),
        ('say "hi" \\o/', 'say "hi" \\o/'),
        ("first\nExecStart=/bin/false", "first ExecStart=/bin/false"),
        ("continued \\", "continued"),
        ("模型", "模型"),
    ],
)
def test_a_description_stays_a_description(host: Host, text: str, shown: str) -> None:
    """Free text adds no directive and expands no specifier."""
    lines = (Directive("Description", literal(text)),)
    process = (Directive("ExecStart", "/bin/true"),)
    written = unit("a test", [Section("Unit", lines), Section("Service", process)])
    host.write("/etc/systemd/system/described.service", written)
    assert host.show("described.service", "Description")["Description"] == shown
    assert "/bin/true" in host.show("described.service", "ExecStart")["ExecStart"]


def test_an_odd_path_is_bound_and_no_other(host: Host) -> None:
    """A space or a percent sign in a directory's name is nothing special."""
    odd = PurePosixPath("/srv/my models/100%n")
    host.write(odd / "file", "here")
    lines = (
        Directive("Type", "oneshot"),
        Directive("TemporaryFileSystem", "/srv"),
        Directive("BindReadOnlyPaths", path_word(odd)),
        Directive(
            "ExecStart", " ".join(exec_word(word) for word in ("/bin/cp", odd / "file", "/run/copied"))
        ),
    )
    host.write("/etc/systemd/system/bound.service", unit("a test", [Section("Service", lines)]))
    host.systemctl("start", "bound.service")
    assert host.read("/run/copied") == "here"
