from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from kit.settings import Settings, SettingsError

SECRET = "correct horse battery"


class ExampleSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    hostname: str
    api_key: SecretStr
    keys_file: Path = Path("keys")
    limit: Annotated[int, Field(ge=1)] = 8
    domains: Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(value.split(",")))] = Field(
        default=(), validate_default=False
    )

    @field_validator("hostname")
    @classmethod
    def _no_spaces(cls, hostname: str) -> str:
        if " " in hostname:
            raise ValueError(f"must hold no spaces, but is {hostname}")
        return hostname


GOOD = {"EXAMPLE_HOSTNAME": "mx.example.com", "EXAMPLE_API_KEY": SECRET}


def mistakes(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        ExampleSettings.load(environ)
    assert str(caught.value).splitlines() == caught.value.mistakes
    return caught.value.mistakes


def test_settings_from_the_environment_are_converted() -> None:
    settings = ExampleSettings.load(GOOD | {"EXAMPLE_LIMIT": "12", "EXAMPLE_DOMAINS": "a.example,b.example"})
    assert settings.hostname == "mx.example.com"
    assert settings.api_key.get_secret_value() == SECRET
    assert settings.limit == 12
    assert settings.domains == ("a.example", "b.example")
    assert settings.keys_file == Path("keys")


def test_settings_of_others_in_the_environment_are_ignored() -> None:
    ExampleSettings.load(GOOD | {"HOSTNAME": "x", "OTHER_LIMIT": "many", "example_limit": "many"})


def test_settings_from_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    assert ExampleSettings.load().hostname == "mx.example.com"


def test_settings_built_directly_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_LIMIT", "99")
    assert ExampleSettings(hostname="mx.example.com", api_key=SecretStr(SECRET)).limit == 8


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_settings_from_a_file_lose_one_line_break(tmp_path: Path, ending: str) -> None:
    (tmp_path / "key").write_bytes(f"{SECRET} \n{ending}".encode())
    settings = ExampleSettings.load({"EXAMPLE_HOSTNAME": "mx", "EXAMPLE_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.api_key.get_secret_value() == (f"{SECRET} \n" if ending else f"{SECRET} ")


def test_settings_every_field_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("3\n")
    assert ExampleSettings.load(GOOD | {"EXAMPLE_LIMIT_FILE": str(tmp_path / "limit")}).limit == 3
    assert (
        ExampleSettings.load(GOOD | {"EXAMPLE_LIMIT_FILE": ""}).limit == ExampleSettings.load(GOOD).limit
    )  # as Compose empties it


def test_settings_a_field_named_file_is_a_path_and_has_no_second_form() -> None:
    assert ExampleSettings.load(GOOD | {"EXAMPLE_KEYS_FILE": "/k"}).keys_file == Path("/k")
    assert mistakes(GOOD | {"EXAMPLE_KEYS_FILE_FILE": "/k"}) == [
        "EXAMPLE_KEYS_FILE_FILE is not a setting; did you mean EXAMPLE_KEYS_FILE?"
    ]


def test_settings_value_and_file_both_set_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    assert mistakes(GOOD | {"EXAMPLE_API_KEY_FILE": str(tmp_path / "key")}) == [
        "EXAMPLE_API_KEY and EXAMPLE_API_KEY_FILE are both set"
    ]


def test_settings_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes(b"\xe9" * 20)
    for path, reason in ((tmp_path / "absent", "No such file or directory"), (tmp_path / "latin1", "it is not UTF-8")):
        environ = {"EXAMPLE_HOSTNAME": "mx", "EXAMPLE_API_KEY_FILE": str(path)}
        assert mistakes(environ) == [f"EXAMPLE_API_KEY_FILE names a file that cannot be read: {reason}"]


def test_settings_unknown_names_get_a_suggestion_when_one_is_near() -> None:
    assert mistakes(GOOD | {"EXAMPLE_LIMITS": "3", "EXAMPLE_ZZZ": "1"}) == [
        "EXAMPLE_LIMITS is not a setting; did you mean EXAMPLE_LIMIT?",
        "EXAMPLE_ZZZ is not a setting",
    ]


def test_settings_every_mistake_is_told_at_once() -> None:
    assert mistakes({"EXAMPLE_LIMIT": "0", "EXAMPLE_ZZZ": "1"}) == [
        "EXAMPLE_API_KEY is not set",
        "EXAMPLE_HOSTNAME is not set",
        "EXAMPLE_LIMIT Input should be greater than or equal to 1",
        "EXAMPLE_ZZZ is not a setting",
    ]


@pytest.mark.parametrize(
    "value", ["changethis", "Change-Me", "secret", "your_secret_here", "<replace this>", "123456789012"]
)
def test_settings_placeholder_secret_is_refused(value: str) -> None:
    assert mistakes(GOOD | {"EXAMPLE_API_KEY": value}) == ["EXAMPLE_API_KEY is a placeholder, not a secret"]


@pytest.mark.parametrize("value", ["", "short", "elevenchars"])
def test_settings_short_secret_is_refused(value: str) -> None:
    assert mistakes(GOOD | {"EXAMPLE_API_KEY": value}) == ["EXAMPLE_API_KEY is shorter than 12 characters"]


def test_settings_mistakes_never_show_values(tmp_path: Path) -> None:
    (tmp_path / "secret-path").mkdir()
    told = mistakes(
        {
            "EXAMPLE_HOSTNAME": "host with hunter22 inside",
            "EXAMPLE_LIMIT": "hunter22-limit",
            "EXAMPLE_API_KEY_FILE": str(tmp_path / "secret-path"),
            "EXAMPLE_UNKNOWN": "hunter22-unknown",
        }
    )
    assert len(told) == 4
    assert "EXAMPLE_HOSTNAME must hold no spaces, but is [value]" in told
    assert "hunter22" not in "\n".join(told)
    assert "secret-path" not in "\n".join(told)


def test_settings_error_keeps_no_values_in_its_chain() -> None:
    with pytest.raises(SettingsError) as caught:
        ExampleSettings.load(GOOD | {"EXAMPLE_LIMIT": "hunter22-limit"})
    assert caught.value.__context__ is None


def test_settings_are_immutable_and_hide_secrets() -> None:
    settings = ExampleSettings.load(GOOD)
    assert SECRET not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.hostname = "other"  # type: ignore[misc]


@given(st.dictionaries(st.from_regex(r"EXAMPLE_[A-Z_]{0,12}", fullmatch=True), st.text(max_size=30), max_size=6))
def test_settings_any_environment_loads_or_is_a_settings_error(environ: dict[str, str]) -> None:
    with contextlib.suppress(SettingsError):
        ExampleSettings.load(environ)
