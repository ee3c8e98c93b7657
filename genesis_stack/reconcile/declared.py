"""What the generation in force was made from, as far as this version of genesis-stack can read it.

A host that was updated may hold a stack that an older version took and this one does not take any more. Its
servers run on all the same, and whoever looks at them must not stop at that.
"""

from __future__ import annotations

from genesis_stack.backends import Desired
from genesis_stack.spec.model import Stack


def declared(desired: Desired) -> Stack | None:
    """Its stack; None where there is none, and where this version cannot read it."""
    from genesis_stack.spec.load import loads
    from genesis_stack.spec.problems import InvalidStackError

    try:
        return loads(desired.source) if desired.source else None
    except InvalidStackError:
        return None
