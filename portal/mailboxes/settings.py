"""Settings of `homeport mailboxes`: `HOMEPORT_MAILBOXES_*`, from the environment or, as `<NAME>_FILE`, from files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from kit import settings


class MailboxesSettings(settings.Settings):
    """Built once, by `MailboxesSettings.load()`, and passed in."""

    model_config = SettingsConfigDict(env_prefix="HOMEPORT_MAILBOXES_")

    database_url: str = Field(
        description="mysql+pymysql://account@host/database, without the password; the account owns the schema"
    )
    database_password: SecretStr = Field(description="That account's password")
    log_format: Literal["json", "text"] = Field(
        default="json", description="One JSON object a line, or text for people"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Least level that is logged"
    )

    @field_validator("database_url")
    @classmethod
    def _is_mariadb(cls, value: str) -> str:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError):  # the latter for a port that is no number
            raise ValueError("is not a database URL") from None  # the error itself quotes the URL
        if url.drivername != "mysql+pymysql" or not (url.username and url.host and url.database):
            raise ValueError("is not mysql+pymysql://account@host/database")
        if url.password is not None:
            raise ValueError("has a password; it belongs into the file that DATABASE_PASSWORD_FILE names")
        return value

    @property
    def url(self) -> URL:
        """With the password."""
        return make_url(self.database_url).set(password=self.database_password.get_secret_value())
