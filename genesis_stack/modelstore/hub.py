"""Where the Hugging Face hub, or the mirror in HF_ENDPOINT, keeps a file.

huggingface_hub knows endpoint, token and offline mode; the bytes come through `http`, so that every
source resumes, reports and fails alike.
"""

from __future__ import annotations

from genesis_stack.modelstore.faults import FetchError
from genesis_stack.modelstore.source import HfSource


def locate(source: HfSource) -> tuple[str, dict[str, str]]:
    """URL and request headers; httpx drops the token when the hub redirects to another host.

    Raises:
        FetchError: HF_HUB_OFFLINE is set.
    """
    # The library's own build_hf_headers is not used: it asks the hub about the calling program first.
    from huggingface_hub import constants, get_token, hf_hub_url

    if constants.HF_HUB_OFFLINE:
        raise FetchError(
            f"{source}: HF_HUB_OFFLINE is set and the store has no such file",
            hint="unset it, or run `genesis-stack models import FILE` with a copy of the file",
        )
    url = hf_hub_url(source.repo, source.path, revision=source.revision)
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return url, {"Authorization": f"Bearer {token}"} if token else {}
