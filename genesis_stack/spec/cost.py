"""What the host costs, and what the same tokens would cost elsewhere."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from genesis_stack.spec.fields import Frozen, Name, Pattern

Currency = Annotated[str, Pattern(r"^[A-Z]{3}$", "an ISO 4217 currency code such as EUR")]
Price = Annotated[float, Field(ge=0, le=1e9)]


class CloudPrice(Frozen):
    """Price of one hosted model."""

    input_per_million: Price = Field(description="Price of a million prompt tokens.")
    cached_input_per_million: Price | None = Field(
        default=None,
        description="Price of a million prompt tokens from the cloud's cache; absent: input_per_million.",
    )
    output_per_million: Price = Field(description="Price of a million generated tokens.")


class Cost(Frozen):
    """Prices that `cost` reckons with."""

    currency: Currency = Field(default="USD", description="ISO 4217 code of every price here.")
    host_per_month: Price = Field(description="What all hosts of this stack cost a month.")
    cloud: dict[Name, CloudPrice] = Field(
        default_factory=dict, description="What the served model's counterpart costs, by model."
    )
