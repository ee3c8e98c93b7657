"""Where the Hugging Face hub, or the mirror in HF_ENDPOINT, keeps a file.

huggingface_hub knows endpoint, token and offline mode; the bytes come through `http`, so that every
source resumes, reports and fails alike.
"""

from __future__ import annotations

from genesis_stack.modelstore.faults import FetchError
from genesis_stack.modelstore.source import HfSource


def locate(source: HfSource) -> tuple[str, dict[str, str]]:
    """URL and request headers; the token, if there is one, is dropped when the hub redirects elsewhere.

    Raises:
        FetchError: HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if constants.HF_HUB_OFFLINE:
        raise FetchError(
            f"{source}: HF_HUB_OFFLINE is set and the store has no such file",
            hint="unset it, or run `genesis-stack models import FILE` with a copy of the file",
        )
    url = hf_hub_url(source.repo, source.path, revision=source.revision)
    headers = build_hf_headers(library_name="genesis-stack")
    return url, {str(name): str(value) for name, value in headers.items()}
