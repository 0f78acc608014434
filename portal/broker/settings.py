"""Settings of the broker: HOMEPORT_BROKER_*. A process of its own, so the portal's settings never reach it."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from kit.settings import Settings


class BrokerSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="HOMEPORT_BROKER_")

    docker_host: str = Field(
        default="unix:///var/run/docker.sock", description="Where the Docker engine answers: a unix socket"
    )
    portal_uid: int = Field(
        default_factory=os.geteuid,
        ge=0,
        description="The user id that may speak to the broker, and no other; by default the broker's own",
    )
    stacks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("mailserver", "blog", "portal"),
        description="Values of the label homeport.stack whose containers the broker knows",
    )
    sites_root: str = Field(default="/srv/sites", description="Where the sites' trees lie in the container blog-php")
    log_format: Literal["json", "text"] = Field(default="json", description="Form of the log on standard error")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least important level that is logged"
    )

    @field_validator("docker_host")
    @classmethod
    def _is_unix(cls, value: str) -> str:
        if not value.startswith("unix:///"):
            raise ValueError("is not a unix socket such as unix:///var/run/docker.sock")
        return value

    @field_validator("stacks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        stacks = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if not stacks:
            raise ValueError("names no stack")
        return stacks

    @field_validator("sites_root")
    @classmethod
    def _is_absolute(cls, value: str) -> str:
        if not value.startswith("/") or ".." in value.split("/"):
            raise ValueError("is not an absolute path")
        return value.rstrip("/")
