"""What an operator may set of a site's PHP, and within which bounds. Everything else is the pool's template's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PhpSettings(BaseModel):
    """Limits of one site's pool. Errors are never shown to visitors, and the version is that of the image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_limit_mib: int = Field(default=256, ge=64, le=1024, description="of one request")
    upload_max_mib: int = Field(default=64, ge=1, le=512, description="of one uploaded file")
    max_execution_s: int = Field(default=60, ge=5, le=300, description="after which a request is ended")
    max_children: int = Field(default=4, ge=1, le=32, description="requests that PHP works on at once")
