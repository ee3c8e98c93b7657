"""What a stack asks of a host: rendered files, and servers with the digests their health must echo."""

from __future__ import annotations

from genesis_stack.backends import Backend, Desired, Reader, Service
from genesis_stack.layout import Layout
from genesis_stack.modelstore.store import Store
from genesis_stack.reconcile.generations import digest
from genesis_stack.render import as_declared, sandbox
from genesis_stack.render.access import clients_path, secrets_of
from genesis_stack.render.monitoring import external_paths
from genesis_stack.render.serve import config_path
from genesis_stack.spec.model import Stack, Weights


def desire(stack: Stack, source: str, backend: Backend, layout: Layout) -> Desired:
    """Render a stack for a backend.

    A size that the stack leaves out is the file's own, once it is there; until then it is not known.
    """
    store = Store(layout.models)

    def size(weights: Weights) -> int | None:
        path = store.path(weights.sha256)
        return weights.size or (path.stat().st_size if path.exists() else None)

    resolved = as_declared(stack, layout, size)
    files = {file.path: file for file in backend.render(stack, resolved)}
    services = {}
    for name, model in stack.models.items():
        rollout = model.rollout or stack.defaults.rollout
        restart_on, rebind_on = backend.triggers(name)
        services[name] = Service(
            model=name,
            host=model.listen or stack.defaults.listen,
            port=model.port,
            weights=model.weights.sha256,
            config=digest(files[config_path(name, layout)].content),
            memory=model.budget.memory,
            strategy=rollout.strategy,
            min_healthy=rollout.min_healthy,
            deadline=rollout.deadline,
            drain=model.limits.drain_timeout,
            max_exposure=sandbox.policy(stack, name).max_exposure,
            restart_on=restart_on,
            rebind_on=rebind_on,
            reread=(clients_path(layout),) if stack.clients else (),
            secrets=secrets_of(stack, name),
            tls=stack.http.tls is not None,
        )
    monitors = {one.name: one for one in backend.monitors(stack)}
    digests = {file.sha256 for one in resolved.values() for file in one.files}
    return Desired(stack.name, source, files, services, tuple(sorted(digests)), monitors, _reader(stack))


def _reader(stack: Stack) -> Reader | None:
    """The Prometheus that runs already, if it is to be told of changes."""
    prometheus = stack.monitoring.prometheus
    if prometheus is None or prometheus.reload_url is None or not (files := external_paths(stack)):
        return None
    return Reader(prometheus.reload_url, files)
