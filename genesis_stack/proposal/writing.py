"""A proposal as the text of a stack.yaml that explains itself."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

from genesis_stack.modelstore.fit import fit
from genesis_stack.modelstore.memory import Shape, rows
from genesis_stack.modelstore.quantity import show_size
from genesis_stack.proposal.proposal import Proposal, Served
from genesis_stack.spec.load import loads
from genesis_stack.spec.model import Budget, Model, Weights
from genesis_stack.spec.problems import InvalidStackError, Problem, show_path

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ,._()+/-]*[A-Za-z0-9.)]")
SYSTEMD: Final = "systemd: apply as root, and the kernel confines every server"
NO_SYSTEMD: Final = "no systemd: apply runs the servers for your user, without a sandbox"
_MIB: Final = 1024**2
_SMOKE_USERS: Final = 2


def as_text(proposal: Proposal, shapes: Mapping[str, Shape]) -> str:
    """The stack file."""
    sections = [_head(proposal), _defaults(proposal), ["models:"]]
    for served in proposal.models:
        sections[-1] += _model(served, proposal, shapes)
    sections += [_clients(proposal), _monitoring(proposal), _load(proposal)]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def as_checked_text(proposal: Proposal, shapes: Mapping[str, Shape], name: str) -> str:
    """The stack file, which is valid and fits the machine that it was proposed for; messages call it `name`.

    Raises:
        InvalidStackError: it is not: a name that cannot be one, or a fault of the proposal.
    """
    text = as_text(proposal, shapes)
    found = fit(loads(text, name), shapes, proposal.machine.host)
    problems = [Problem(name, 0, 0, show_path(one.path), one.what, one.hint) for one in found.problems]
    if problems:
        raise InvalidStackError(problems)
    return text


def _head(proposal: Proposal) -> list[str]:
    machine = proposal.machine
    host = machine.host
    instructions = " ".join(machine.instructions) or "no vector instructions that matter"
    lines = [
        "# What this machine serves. `genesis-stack init` wrote it for",
        f"#   memory      {show_size(host.memory)} ({host.memory_source})",
        f"#   processors  {host.cpus:g} ({host.cpus_source}), {instructions}",
        f"#   disk        {show_size(machine.disk)} free for model files",
        f"#   services    {SYSTEMD if machine.systemd else NO_SYSTEMD}",
        *(f"# Passed over: {reason}." for reason in proposal.passed_over),
        "#",
        "# It is yours now: edit it, then",
        "#   genesis-stack validate   every mistake with its line, and the memory as a sum",
        "#   genesis-stack plan       what would change on this host, and why",
        "#   genesis-stack apply      makes it so, or returns to what ran before",
        "# `genesis-stack schema` describes every key. Sizes: 8GiB or 4.9GB. Durations: 10s, 5m.",
        "# Secrets are never in this file, only their names.",
        "",
        "api_version: genesis.stack/v1",
        f"name: {proposal.name}",
    ]
    return [line.rstrip() for line in lines]


def _defaults(proposal: Proposal) -> list[str]:
    return [
        "defaults:",
        f"  reserve: {_size(proposal.reserve)} # memory left to everything else on this machine",
        "  rollout:",
        "    min_healthy: 10s # how long a new server must stay healthy before a change is kept",
        "    deadline: 10m # a server that is not ready by then brings the old one back",
    ]


def _model(served: Served, proposal: Proposal, shapes: Mapping[str, Shape]) -> Iterator[str]:
    offer, engine = served.fitted.offer, served.fitted.engine
    yield f"  {offer.name}:"
    yield f"    description: {_scalar(offer.description)}"
    if offer.license:
        yield f"    license: {_scalar(offer.license)}"
    yield f"    task: {offer.task}"
    if offer.tags:
        yield f"    tags: [{', '.join(offer.tags)}]"
    yield f"    port: {served.port} # http://127.0.0.1:{served.port}/v1 speaks OpenAI's API"
    yield "    weights: # the digest decides: a file that hashes to anything else is never loaded"
    yield from _file(offer.weights)
    if offer.projector is not None:
        yield "    projector: # the image encoder"
        yield from _file(offer.projector)
    yield "    engine:"
    yield f"      context: {engine.context} # longest request in tokens, prompt and answer together"
    yield f"      parallel: {engine.parallel} # requests decoded at once; {_users(proposal.users)} asked for"
    yield f"      kv_cache: {engine.kv_cache} # q8_0 takes half the memory of f16"
    yield f"      batch: {engine.batch} # most tokens of one step"
    if offer.task == "vision":
        yield "    limits:"
        yield "      max_body: 16MiB # images travel inside the request"
    yield from _budget(served, shapes)
    yield "    slo: # what you promise: load tests and alerts hold the model to it"
    yield "      error_rate: 1%"
    yield "      # `genesis-stack load` shows what this machine holds; promise that, for example"
    yield "      # ttft_p95: 3s"
    yield "      # tokens_per_second: 10"


def _file(weights: Weights) -> Iterator[str]:
    yield f"      source: {_source(weights.source)}"
    yield f"      sha256: {weights.sha256}"
    if weights.size is not None:
        yield f"      size: {weights.size}"


def _budget(served: Served, shapes: Mapping[str, Shape]) -> Iterator[str]:
    fitted = served.fitted
    model = Model(
        task=fitted.offer.task,
        port=served.port,
        weights=fitted.offer.weights,
        projector=fitted.offer.projector,
        engine=fitted.engine,
        budget=Budget(memory=fitted.memory, cpus=served.cpus),
    )
    terms = " + ".join(f"{row.what} {show_size(row.size)}" for row in rows(model, shapes))
    yield "    budget: # the most it may use; under systemd the kernel holds it to that"
    yield from textwrap.wrap(terms, 100, initial_indent="      # ", subsequent_indent="      # ")
    yield f"      # = {show_size(fitted.needed)}, and a tenth to spare"
    yield f"      memory: {_size(fitted.memory)}"
    yield f"      cpus: {served.cpus:g}"


def _clients(proposal: Proposal) -> list[str]:
    names = ", ".join(served.fitted.offer.name for served in proposal.models)
    return [
        "# Without clients only this machine may call, and it needs no key. To let others in, say who:",
        "#",
        "# clients:",
        f"#   my-app: {{models: [{names}], requests_per_minute: 60, tokens_per_minute: 40000}}",
        "#",
        "# `genesis-stack clients add my-app` then shows its key, once.",
    ]


def _monitoring(proposal: Proposal) -> list[str]:
    if not proposal.watched:
        return [
            "# With Debian's packages prometheus and prometheus-alertmanager installed, they run as units of",
            "# this stack, with alerts from the promises and budgets above:",
            "#",
            "# monitoring:",
            "#   prometheus: {mode: managed}",
        ]
    return [
        "monitoring:",
        "  prometheus:",
        "    mode: managed # Debian's prometheus, which is installed here, as a unit of this stack",
        "  # To be told of alerts, declare who is: see alertmanager in docs/monitoring.md.",
    ]


def _load(proposal: Proposal) -> list[str]:
    users = min(proposal.users, _SMOKE_USERS)
    return [
        "# genesis-stack load --profile smoke",
        "load:",
        f"  smoke: {{users: {users}, duration: 55s, max_tokens: 32, least_requests: 2}}",
        f"  steady: {{users: {proposal.users}, duration: 10m, think_time: 2s}}",
    ]


def _users(count: int) -> str:
    return "one user was" if count == 1 else f"{count} users were"


def _size(size: int) -> str:
    """A whole number of MiB as a stack declares it."""
    return f"{size // 1024**3}GiB" if size % 1024**3 == 0 else f"{size // _MIB}MiB"


def _scalar(text: str) -> str:
    """One line of text as YAML reads it back; a single word might be a number or a boolean to it."""
    return text if _PLAIN.fullmatch(text) and " " in text else json.dumps(text, ensure_ascii=False)


def _source(source: str) -> str:
    """A source holds no white space; what else YAML would act upon is quoted."""
    return source if re.fullmatch(r"[A-Za-z0-9:/._=@+-]+", source) else json.dumps(source, ensure_ascii=False)
