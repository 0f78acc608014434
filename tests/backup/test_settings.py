"""backup/settings.py: backup.toml is checked whole, and its mistakes are named without their values."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup.exit_codes import MEANINGS, BackupError, ExitCode, WrongUsage
from backup.settings import load, read_secret

LEAST = """
root = "/srv/homeport/backup"
signing_key_file = "/etc/homeport/signing.key"
public_key_file = "/etc/homeport/signing.pub"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "backup.toml"
    path.write_text(text)
    return path


def test_the_least_there_is_has_the_promised_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, LEAST))
    assert (settings.retention.daily, settings.retention.weekly, settings.retention.manual_days) == (7, 4, 14)
    assert settings.zone == "Asia/Tokyo"
    assert settings.vault is None
    assert settings.layout.root == Path("/srv/homeport/backup")


def test_the_vaults_promise_is_37_31_30(tmp_path: Path) -> None:
    settings = load(
        written(tmp_path, LEAST + '[repository]\npassword_file = "/etc/p"\n[vault]\nbucket = "homeport-vault"')
    )
    assert settings.vault is not None
    assert (settings.vault.window_days, settings.vault.threshold_days, settings.vault.floor_days) == (37, 31, 30)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "root: Field required"),
        ("root = 1", "root: "),
        (LEAST.replace("/srv", "srv"), "root: must be an absolute path"),
        (LEAST + 'zone = "Mars/Olympus"', "zone: 'Mars/Olympus' is no time zone"),
        (LEAST + "colour = 1", "colour: Extra inputs are not permitted"),
        (LEAST + "[retention]\ndaily = 0", "retention.daily"),
        (LEAST + '[vault]\nbucket = "homeport-vault"', "the vault mirrors the repository"),
        (
            LEAST + '[repository]\npassword_file = "/p"\n[vault]\nbucket = "homeport-vault"\nthreshold_days = 40',
            "floor_days <= threshold_days < window_days",
        ),
        (
            LEAST + '[[sources.mariadb]]\nname = "a"\nuser = "u"\npassword_file = "/p"\nhost = "db"\nsocket = "/s"',
            "either socket or host",
        ),
        (
            LEAST + '[[sources.site]]\nname = "s"\npath = "/x"\nserver = "none"\ndatabase = "d"',
            "there is no sources.mariadb named none",
        ),
        (LEAST + '[[sources.maildir]]\npath = "/a"\n[[sources.maildir]]\npath = "/b"', "two sources.maildir"),
        (LEAST + '[[coverage.exclude]]\nkind = "zone"\nname = "x"\nreason = "no"', "coverage.exclude.0.reason"),
        ("root = ", "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        load(written(tmp_path, text))
    assert said in str(caught.value)


def test_all_mistakes_are_named_at_once_and_values_never(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage) as caught:
        load(written(tmp_path, 'root = "secret-value"\nhost = "Not A Name"'))
    assert len(str(caught.value).splitlines()) == 4
    assert "secret-value" not in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="homeport backup init"):
        load(tmp_path / "none.toml")


def test_a_secret_file_is_read_to_its_first_line_end(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("a secret\nmore\n")
    assert read_secret(path) == "a secret"
    path.write_text("\n")
    with pytest.raises(WrongUsage, match="is empty"):
        read_secret(path)
    with pytest.raises(WrongUsage, match="cannot be read"):
        read_secret(tmp_path / "none")


def test_every_exit_code_has_a_meaning_and_every_error_a_code_of_its_own() -> None:
    assert set(MEANINGS) == set(ExitCode)
    codes = [cls.code for cls in BackupError.__subclasses__()]
    assert sorted(codes) == sorted(set(ExitCode) - {ExitCode.DONE, ExitCode.BUG})
