"""Settings: what is taken, what is refused by name, and that a start with a wrong one says all that is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from kit.settings import SettingsError
from mail_api.settings import MailSettings, SpamScannerDown, parse_clamd, parse_listen
from tests.services.homeport import HOMEPORT

REQUIRED = {
    "HOMEPORT_MAIL_TRANSPORT": "lmtp://127.0.0.1:24",
    "HOMEPORT_MAIL_STATE_DIR": "/srv/mail",
    "HOMEPORT_MAIL_KEYS_FILE": "/etc/homeport/keys",
    "HOMEPORT_MAIL_HOSTNAME": "mx.home.test",
}


def load(**more: str) -> MailSettings:
    return MailSettings.load(REQUIRED | {f"HOMEPORT_MAIL_{name}": value for name, value in more.items()})


def test_settings_that_are_required_suffice() -> None:
    settings = load()
    assert settings.state_dir == Path("/srv/mail")
    assert settings.spool_dir == Path("/srv/mail/spool")
    assert settings.ledger_file == Path("/srv/mail/ledger.sqlite3")
    assert settings.control_socket == Path("/srv/mail/control.sock")
    assert (settings.domains, settings.sentinel, settings.metrics_listen) == (frozenset(), None, None)
    assert settings.mailbox_full_is_final is False


def test_missing_settings_are_all_named() -> None:
    with pytest.raises(SettingsError) as caught:
        MailSettings.load({"PATH": "/bin"})
    assert all(f"{name} is not set" in str(caught.value) for name in REQUIRED)


def test_names_become_what_they_are_compared_with() -> None:
    settings = load(
        HOSTNAME="MX.Home.test", DOMAINS=" Home.test, bücher.test,,", SENTINEL="Canary@BÜCHER.test", METRICS_LISTEN=""
    )
    assert settings.hostname == "mx.home.test"
    assert settings.domains == {"home.test", "xn--bcher-kva.test"}
    assert settings.sentinel == "Canary@xn--bcher-kva.test"
    assert settings.metrics_listen is None


@pytest.mark.parametrize(
    ("transport", "path"),
    [
        ("lmtp://localhost:24", ""),
        ("lmtp://[::1]:24", ""),
        ("lmtp+unix:///run/dovecot/lmtp", "/run/dovecot/lmtp"),
        ("maildir:///srv/with%20space/mail", "/srv/with space/mail"),
    ],
)
def test_transport_is_an_url(transport: str, path: str) -> None:
    settings = load(TRANSPORT=transport, DOMAINS="home.test")
    assert settings.transport == transport
    assert path in ("", str(settings.transport_path))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRANSPORT", "smtp://127.0.0.1:25"),
        ("TRANSPORT", "lmtp://127.0.0.1"),
        ("TRANSPORT", "lmtp://127.0.0.1:99999"),
        ("TRANSPORT", "maildir://relative/path"),
        ("TRANSPORT", "lmtp+unix:run/lmtp"),
        ("HOSTNAME", "mx_home test"),
        ("HOSTNAME", "a" * 254),
        ("DOMAINS", "home.test,*.test"),
        ("SENTINEL", "nobody"),
        ("SENTINEL", "a\r\n@home.test"),
        ("METRICS_LISTEN", "9100"),
        ("METRICS_LISTEN", "127.0.0.1:"),
        ("MAX_CONCURRENT", "0"),
        ("MAX_CONCURRENT", "many"),
        ("LMTP_CONNECTIONS", "65"),
        ("DELIVERY_CONCURRENCY", "0"),
        ("MAILBOX_FULL_IS_FINAL", "perhaps"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("RSPAMD", "127.0.0.1:11333"),
        ("RSPAMD", "https://127.0.0.1:11333"),
        ("RSPAMD", "http://127.0.0.1"),
        ("RSPAMD", "http://user@127.0.0.1:11333"),
        ("RSPAMD", "http://127.0.0.1:11333/checkv2"),
        ("RSPAMD_TIMEOUT_S", "0"),
        ("RSPAMD_TIMEOUT_S", "10.5"),
        ("CLAMD", "/run/clamd.ctl"),
        ("CLAMD", "unix://run/clamd.ctl"),
        ("CLAMD", "tcp://127.0.0.1:3310"),
        ("CLAMD", "127.0.0.1"),
        ("CLAMD_TIMEOUT_S", "nan"),
        ("SPAM_SCANNER_DOWN", "ignore"),
        ("SENTINAL", "a@home.test"),
    ],
)
def test_wrong_value_or_unknown_name_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"HOMEPORT_MAIL_{name} ") as caught:
        load(**{name: value})
    assert len(str(caught.value).splitlines()) == 1


def test_scanners_are_off_unless_named() -> None:
    for settings in (load(), load(RSPAMD="", CLAMD="")):
        assert (settings.rspamd, settings.clamd) == (None, None)
    assert (settings.rspamd_timeout_s, settings.clamd_timeout_s) == (5.0, 8.0)
    assert settings.spam_scanner_down is SpamScannerDown.DEFER
    named = load(RSPAMD="http://mail-rspamd:11333", CLAMD="mail-clamav:3310", SPAM_SCANNER_DOWN="deliver")
    assert (named.rspamd, named.clamd) == ("http://mail-rspamd:11333", "mail-clamav:3310")
    assert named.spam_scanner_down is SpamScannerDown.DELIVER


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("mail-clamav:3310", ("mail-clamav", 3310)),
        ("[::1]:3310", ("::1", 3310)),
        ("unix:///run/clamav/clamd.ctl", "/run/clamav/clamd.ctl"),
        ("unix:///run/with%20space", "/run/with space"),
    ],
)
def test_clamd_has_a_port_or_a_socket(value: str, address: tuple[str, int] | str) -> None:
    assert parse_clamd(load(CLAMD=value).clamd or "") == address


def test_maildir_without_domains_is_refused() -> None:
    """It makes mailboxes only for them, so it would refuse every message."""
    with pytest.raises(SettingsError, match="HOMEPORT_MAIL_DOMAINS"):
        load(TRANSPORT="maildir:///srv/mail")


def test_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "sentinel").write_text("canary@home.test\n")
    assert load(SENTINEL_FILE=str(tmp_path / "sentinel")).sentinel == "canary@home.test"


@pytest.mark.parametrize(
    ("value", "address"), [("127.0.0.1:8025", ("127.0.0.1", 8025)), ("[::1]:1", ("::1", 1)), ("mx:0", ("mx", 0))]
)
def test_listen_address_has_host_and_port(value: str, address: tuple[str, int]) -> None:
    assert parse_listen(value) == address


@pytest.mark.parametrize("value", ["", ":8025", "127.0.0.1", "a:b", "u@h:1", "h:1/x", "h:65536", "::1:25"])
def test_listen_address_of_another_form_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_listen(value)


class TestStart:
    """The processes themselves end with one clear line when they cannot work."""

    def run(self, arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}
        argv = [*HOMEPORT, "mail", *arguments]
        return subprocess.run(argv, env=clean | environment, capture_output=True, text=True, timeout=20, check=False)

    def environment(self, directory: Path, **more: str) -> dict[str, str]:
        (directory / "keys").write_text("test:" + os.urandom(32).hex() + "\n")
        (directory / "keys").chmod(0o600)
        paths = {"STATE_DIR": str(directory / "state"), "KEYS_FILE": str(directory / "keys")}
        return REQUIRED | {f"HOMEPORT_MAIL_{name}": value for name, value in (paths | more).items()}

    @pytest.mark.parametrize("arguments", [["ingress", "--listen", "127.0.0.1:1"], ["delivery"]])
    def test_wrong_settings_stop_the_start_and_are_all_named(self, tmp_path: Path, arguments: list[str]) -> None:
        environment = self.environment(tmp_path, HOSTNAME="a b", TRANSPORTS="x", LOG_LEVEL="loud")
        ended = self.run(arguments, environment)
        assert ended.returncode == 1
        for name in ("HOSTNAME", "TRANSPORTS", "LOG_LEVEL"):
            assert f"HOMEPORT_MAIL_{name} " in ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (tmp_path / "state").exists()

    def test_port_in_use_stops_the_start(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            ended = self.run(["ingress", "--listen", listen], self.environment(tmp_path))
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == f"homeport: error: cannot listen on {listen}: Address already in use"

    @pytest.mark.parametrize("keys", ["", "test:00\n", "one line too many\n"])
    def test_unusable_keys_file_stops_the_start(self, tmp_path: Path, keys: str) -> None:
        environment = self.environment(tmp_path)
        (tmp_path / "keys").write_text(keys)
        ended = self.run(["ingress", "--listen", "127.0.0.1:0"], environment)
        assert ended.returncode == 1
        assert f"homeport: error: {tmp_path / 'keys'}: " in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_state_directory_that_is_a_file_stops_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("")
        for arguments in (["ingress", "--listen", "127.0.0.1:0"], ["delivery"]):
            ended = self.run(arguments, self.environment(tmp_path))
            assert ended.returncode == 1
            assert str(tmp_path / "state") in ended.stderr
