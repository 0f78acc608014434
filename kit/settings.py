"""Settings: environment variables and secret files, checked once at start, all mistakes named at once.

    class MailSettings(Settings):
        model_config = SettingsConfigDict(env_prefix="HOMEPORT_MAIL_")
        hostname: str
        api_key: SecretStr

    settings = MailSettings.load()

A field `x` is set by `<PREFIX>X`, or by `<PREFIX>X_FILE`, which names a file that holds the value (one line break at
its end is cut). Both at once is a mistake. A field whose own name ends in `_file` is a path, and has no second form.
Values arrive as text; a field that is a list declares in its own type how it is split.

Refused: names that begin with the prefix and are no setting, missing values, and secrets that are placeholders or too
short. Building the class directly (`MailSettings(hostname=...)`) checks the same and reads no environment.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

MIN_SECRET_CHARACTERS = 12  # shorter ones are guessable by trying; no rule on what they consist of
PLACEHOLDERS = frozenset(
    {"changethis", "changeme", "placeholder", "password", "secret", "example", "default", "replaceme", "yoursecret"}
    | {"yourpassword", "yoursecrethere", "yourpasswordhere", "replacethis", "supersecret", "changethissecret"}
    | {"changethispassword", "secretpassword", "password1234", "123456789012", "1234567890123456"}
)


class SettingsError(Exception):
    """The settings cannot be used. The text has one mistake per line; it names variables and never values."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Settings(BaseSettings):
    """Base of every deployable's settings. Immutable."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # `load` is the only reader of the environment

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Given the environment (the process's own by default), return the settings or raise SettingsError."""
        environ = os.environ if environ is None else environ
        given = {name: value for name, value in environ.items() if name.startswith(cls._prefix())}
        values, mistakes = cls._read(given)
        mistakes += cls._unknown(given)
        try:
            settings = cls(**values)  # type: ignore[arg-type]  # text, which pydantic converts
        except ValidationError as error:
            # A field whose file could not be read has been named already, and would be named again as missing.
            named = {mistake.split(" ", 1)[0].removesuffix("_FILE") for mistake in mistakes}
            mistakes += [text for field, text in cls._explain(error, values) if cls.variable(field) not in named]
        if mistakes:
            raise SettingsError(sorted(mistakes))
        return settings

    @classmethod
    def variable(cls, field: str) -> str:
        """Given a field's name, return the name of its environment variable."""
        return cls._prefix() + field.upper()

    @classmethod
    def _prefix(cls) -> str:
        return cls.model_config.get("env_prefix") or ""

    @classmethod
    def _variables(cls) -> dict[str, tuple[str, bool]]:
        """Every variable there is -> (the field it sets, whether it names a file that holds the value)."""
        plain = {cls.variable(field): (field, False) for field in cls.model_fields}
        files = {f"{cls.variable(field)}_FILE": (field, True) for field in cls.model_fields if field[-5:] != "_file"}
        return files | plain

    @classmethod
    def _read(cls, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        values: dict[str, str] = {}
        mistakes: list[str] = []
        for variable, (field, is_file) in cls._variables().items():
            if variable not in given or (is_file and not given[variable]):  # Compose can empty one, not leave it out
                continue
            if field in values:
                mistakes.append(f"{cls.variable(field)} and {cls.variable(field)}_FILE are both set")
                continue
            try:
                values[field] = _content(given[variable]) if is_file else given[variable]
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                mistakes.append(f"{variable} names a file that cannot be read: {reason}")
        return values, mistakes

    @classmethod
    def _unknown(cls, given: Mapping[str, str]) -> list[str]:
        known = cls._variables()
        mistakes = []
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
                mistakes.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
        return mistakes

    @classmethod
    def _explain(cls, error: ValidationError, values: Mapping[str, str]) -> list[tuple[str, str]]:
        """Each mistake pydantic found, as (field, text). A value that a validator put into its message is cut out."""
        found = []
        for each in error.errors(include_input=False, include_url=False):
            field = str(each["loc"][0]) if each["loc"] else ""
            if each["type"] == "missing":
                text = "is not set"
            else:
                text, value = each["msg"].removeprefix("Value error, "), values.get(field, "")
                text = text.replace(value, "[value]") if len(value) >= 8 else text
            found.append((field, f"{cls.variable(field)} {text}" if field else text))
        return found

    @field_validator("*", mode="after")
    @classmethod
    def _refuse_weak_secrets(cls, value: object) -> object:
        if isinstance(value, SecretStr):
            plain = value.get_secret_value()
            if "".join(filter(str.isalnum, plain.lower())) in PLACEHOLDERS:
                raise ValueError("is a placeholder, not a secret")
            if len(plain) < MIN_SECRET_CHARACTERS:
                raise ValueError(f"is shorter than {MIN_SECRET_CHARACTERS} characters")
        return value


def _content(path: str) -> str:
    return Path(path).read_bytes().decode("utf-8").removesuffix("\n").removesuffix("\r")
