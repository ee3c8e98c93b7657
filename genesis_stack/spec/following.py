"""What a stack says of the repository that its hosts follow, whatever else is in it.

An agent that was updated must find its branch though it cannot read the rest of the stack in force: the
commit that mends the stack is there.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field, ValidationError

from genesis_stack.spec.document import parse
from genesis_stack.spec.fields import Frozen
from genesis_stack.spec.gitops import GitOps
from genesis_stack.spec.problems import InvalidStackError
from genesis_stack.spec.source import decode
from genesis_stack.spec.verdict import problems_of


class _Following(Frozen):
    """A stack with one section; the others are not looked at."""

    model_config = ConfigDict(extra="ignore")

    gitops: GitOps | None = Field(default=None, description="What the agent follows.")


def gitops_of(text: str, name: str) -> GitOps | None:
    """The section `gitops` alone; None where there is none. Messages call the text `name`.

    Raises:
        InvalidStackError: this section itself cannot be read.
    """
    document = parse(decode(text.encode("utf-8", "surrogatepass"), name))
    try:
        return _Following.model_validate(document.content).gitops
    except ValidationError as error:
        found = [problem for _, problem in problems_of(error, document, _Following)]
        raise InvalidStackError([*document.problems, *found]) from None
