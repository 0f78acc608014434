"""What every request to the broker is. Pure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Request(Message):
    """caller and request_id go into the broker's own audit line; nothing is decided by them."""

    caller: str = Field(default="", max_length=200)
    request_id: str = Field(default="", max_length=64)
