"""`homeport stack check`: each thing that can be wrong is found, alone, and said with its remedy; no secret is."""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from portal.stacks import places, values
from portal.stacks.certificates import self_signed
from portal.stacks.checks import CHECKS
from portal.stacks.secret_files import MAIL_SECRETS, SecretFile
from portal.stacks.stack import Stack, StackNotFound
from tests.portal.stacks.conftest import HOST, MAILSERVER, Workplace

SSD = "HOMEPORT_SSD"


def test_stack_that_is_ready_has_no_problem_and_says_so(ready: Workplace) -> None:
    assert ready.found() == []
    ended = ready.run("check", "mailserver")
    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("Problems: 0, warnings: ")


def test_stack_as_checked_out_names_everything_at_once(bare: Workplace) -> None:
    ended = bare.run("check", "mailserver", "--json")
    assert ended.code == 1
    problems = ended.document["problems"]
    assert ended.document["checks"] == list(CHECKS["mailserver"])
    subjects = {each["subject"] for each in problems}
    assert subjects >= {".env", "MAIL_HOSTNAME", "MAIL_DOMAINS", "secrets", "secrets/tls/privkey.pem"}
    assert subjects >= {f"secrets/{secret.path}" for secret in MAIL_SECRETS if not secret.profile}
    assert all(each["text"] and each["remedy"] and each["check"] in CHECKS["mailserver"] for each in problems)
    text = bare.run("check", "mailserver")
    assert text.code == 1
    assert text.out.count("problem  ") == len(problems)


# -- .env -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ({"MAIL_HOSTNAME": "mail.example.org"}, [("hostname", "MAIL_HOSTNAME is still the example's")]),
        ({"MAIL_HOSTNAME": ""}, [("hostname", "MAIL_HOSTNAME is not set")]),
        ({"MAIL_HOSTNAME": "mail"}, [("hostname", "MAIL_HOSTNAME is no domain name")]),
        ({"MAIL_DOMAINS": ""}, [("domains", "MAIL_DOMAINS is not set")]),
        ({"MAIL_DOMAINS": ","}, [("domains", "MAIL_DOMAINS is not set")]),
        ({"MAIL_DOMAINS": "a.dev, b"}, [("domains", "MAIL_DOMAINS has 'b', which is no domain name")]),
        (
            {"MAIL_DOMAINS": "example.com"},
            [("domains", "MAIL_DOMAINS has 'example.com', which is still the example's")],
        ),
        (
            {"TAILSCALE_IP": "0.0.0.0"},
            [("address", "TAILSCALE_IP means every address of this machine, the public ones too")],
        ),
        (
            {"TAILSCALE_IP": "8.8.8.8"},
            [("address", "TAILSCALE_IP is a public address: the mail server would be open to everybody")],
        ),
        (
            {"TAILSCALE_IP": "100.100.3.4"},
            [("address", "TAILSCALE_IP is no address of this machine, so no port can be published")],
        ),
        ({"TAILSCALE_IP": "tailscale0"}, [("address", "TAILSCALE_IP is no IP address")]),
        ({"TAILSCALE_IP": "::1"}, [("address", "TAILSCALE_IP is an IPv6 address without brackets")]),
        ({"MAIL_RELAY_HOST": "smtp.example.com"}, [("relay", "MAIL_RELAY_HOST is still the example's")]),
        (
            {"MAIL_RELAY_HOST": "not a host"},
            [("values", "MAIL_RELAY_HOST is not a host name such as smtp.sendgrid.net")],
        ),
        ({"MAIL_RELAY_PORT": "0"}, [("values", "MAIL_RELAY_PORT is not a port such as 587")]),
        ({"MAIL_RELAY_PORT": "٥٨٧"}, [("values", "MAIL_RELAY_PORT is not a port such as 587")]),
        ({"MAIL_IMAPS_PORT": "65536"}, [("values", "MAIL_IMAPS_PORT is no port")]),
        ({"MAIL_DEFAULT_QUOTA": "ten"}, [("values", "MAIL_DEFAULT_QUOTA is not a size such as 10G")]),
        ({"MAIL_DKIM": "yes"}, [("values", "MAIL_DKIM is not relay or local")]),
        ({"MAIL_HOTSNAME": "x"}, [("names", "MAIL_HOTSNAME is no setting of this stack, so it does nothing")]),
        ({"HOMEPORT_SSD": "ssd"}, [("places", "HOMEPORT_SSD is no absolute path")]),
    ],
)
def test_wrong_setting_is_found_and_nothing_else(
    ready: Workplace, setting: dict[str, str], found: list[tuple[str, str]]
) -> None:
    ready.set(**setting)
    if setting.get("MAIL_HOSTNAME"):  # else the certificate has no name to be compared with
        assert [each for each in ready.found() if each[0] != "certificate"] == found
    assert ready.found() == found


def test_typing_error_gets_a_suggestion(ready: Workplace) -> None:
    ready.set(MAIL_HOTSNAME="x", CANARY_SETTING="canary")
    ended = ready.run("check", "mailserver", "--json")
    remedies = {each["subject"]: each["remedy"] for each in ended.document["problems"]}
    assert remedies["MAIL_HOTSNAME"] == "did you mean MAIL_HOSTNAME?"
    assert ".env.example" in remedies["CANARY_SETTING"]
    assert "canary" not in ended.out


def test_composes_own_names_are_known(ready: Workplace) -> None:
    ready.set(COMPOSE_PROJECT_NAME="mail", DOCKER_HOST="unix:///var/run/docker.sock")
    assert ready.found() == []


def test_shell_counts_more_than_the_file_and_is_told(ready: Workplace) -> None:
    ready.environ["MAIL_DOMAINS"] = "nonsense"
    assert ready.found() == [("domains", "MAIL_DOMAINS has 'nonsense', which is no domain name")]
    assert ("names", "MAIL_DOMAINS is also set in this shell, which counts more than .env") in ready.warnings()


@pytest.mark.parametrize("content", [b"MAIL_HOSTNAME=\xff\n", b"no settings\n"])
def test_file_that_cannot_be_read_is_one_problem_of_its_own(ready: Workplace, content: bytes) -> None:
    (ready.directory / ".env").write_bytes(content)
    assert ready.found()[0][0] == "names"
    assert len({check for check, _ in ready.found()}) > 1  # the others are made all the same


def test_two_ports_of_one_number_are_found(ready: Workplace) -> None:
    ready.set(MAIL_IMAPS_PORT="10993", MAIL_POP3S_PORT="10993")
    assert ready.found() == [("values", "MAIL_POP3S_PORT is 10993, as MAIL_IMAPS_PORT is")]


@pytest.mark.parametrize(
    ("given", "is_problem", "word"),
    [
        ("", False, "only this machine"),
        ("127.0.0.1", False, "no other device"),
        ("192.168.1.4", False, "every device of that network"),
        ("100.64.0.1", None, ""),
        ("100.127.255.254", None, ""),
        ("[fd7a:115c:a1e0::1]", None, ""),
        ("100.128.0.1", True, "public address"),
        ("[2606:4700::1111]", True, "public address"),
        ("[::]", True, "every address"),
        ("1.2.3.4; rm", True, "no IP address"),
    ],
)
def test_address_is_tailscales_or_it_is_said(given: str, is_problem: bool | None, word: str) -> None:
    found = list(values.address(given, lambda _: True))
    assert [each.is_problem for each in found] == ([] if is_problem is None else [is_problem])
    assert all(word in each.text for each in found)


# -- secrets ----------------------------------------------------------------------------------------------------------


def good(secret: SecretFile) -> str:
    return secret.draw(datetime.now(UTC)) if secret.draw else "SG.canary-0123456789-abcdef"


@pytest.mark.parametrize("secret", MAIL_SECRETS, ids=lambda secret: secret.path)
def test_secret_that_is_missing_weak_or_unreadable_is_found(ready: Workplace, secret: SecretFile) -> None:
    ready.set(COMPOSE_PROFILES="other,tunnel")
    ready.secret("cloudflared_token", "canary-of-the-tunnel-01")
    name = f"secrets/{secret.path}"
    path = ready.secret(secret.path, good(secret))
    assert ready.found() == []
    for content in ("", "\n", "changeme", "abc1", "x" * 24, "two\nlines-of-a-secret", b"\xff" * 24):
        ready.secret(secret.path, content)
        ((check, text),) = ready.found()
        assert (check, text.partition(" ")[0]) == ("secrets", name)
    ready.secret(secret.path, good(secret), mode=0o440)
    assert ready.found() == [("secrets", f"{name} cannot be read by the container's user")]
    path.chmod(0o464)
    assert ready.found() == [("secrets", f"{name} may be written by others than its owner")]
    path.unlink()
    assert ready.found() == [("secrets", f"{name} is missing")]
    path.mkdir()  # as Docker does where a mounted file is missing
    assert ready.found() == [("secrets", f"{name} is not a file")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("Change-Me\n", "is a placeholder"),
        ("aB3dE5gH7jK", "is shorter than 12 characters"),
        ("ababababababab", "is not random"),
        ("aB3dE5gH7jK9 \n", "holds more than one line, blanks around it or control characters"),
        ("aB3dE5gH7jK9\n\n", "holds more than one line, blanks around it or control characters"),
        ("aB3dE5gH7jK9\x1b[2J", "holds more than one line, blanks around it or control characters"),
        ("aB3dE5gH7jK9;", "has other characters than letters, digits, _, -"),
    ],
)
def test_weak_secret_is_found_by_what_is_wrong_with_it(ready: Workplace, content: str, said: str) -> None:
    ready.secret("rspamd_controller_password", content)
    assert ready.found() == [("secrets", f"secrets/rspamd_controller_password {said}")]


def test_tunnels_token_is_asked_for_only_with_its_profile(ready: Workplace) -> None:
    assert ready.found() == []
    ready.set(COMPOSE_PROFILES="tunnel")
    assert ready.found() == [("secrets", "secrets/cloudflared_token is missing")]


def test_des_key_has_exactly_24_characters(ready: Workplace) -> None:
    for length in (23, 25):
        ready.secret("roundcube_des_key", "aB3dE5gH7jK9mN1pQ3sT5vX7z"[:length])
        assert ready.found() == [("secrets", "secrets/roundcube_des_key is not exactly 24 characters long")]
    ready.secret("roundcube_des_key", "aB3dE5gH7jK9mN1pQ3sT5vX7\n")
    assert ready.found() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("k1:" + "0" * 64, "line 1: the secret is not random"),
        ("k1:abc", "line 1: not key-id:secret with 64 hex digits"),
        ("# none\n", "holds no key"),
        ("".join(f"k{number}:{os.urandom(32).hex()}\n" for number in range(3)), "line 3: more than 2 keys; retire one"),
    ],
)
def test_keys_file_has_lines_of_keys(ready: Workplace, content: str, said: str) -> None:
    ready.secret("mail-api/keys", content)
    assert ready.found() == [("secrets", f"secrets/mail-api/keys {said}")]


def test_same_secret_twice_is_found(ready: Workplace) -> None:
    ready.secret("mail_db_postfix_password", (ready.secrets / "mail_db_dovecot_password").read_text())
    assert ready.found() == [
        ("secrets", "secrets/mail_db_postfix_password is the same as secrets/mail_db_dovecot_password")
    ]


def test_directory_of_secrets_is_closed_to_others(ready: Workplace) -> None:
    ready.secrets.chmod(0o750)
    assert ("secrets", "secrets is open to other users of this machine") in ready.found()
    ready.secrets.chmod(0o700)
    (ready.secrets / "mail-api").chmod(0o700)
    assert ready.found() == [("secrets", "secrets/mail-api cannot be entered by the container's user")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a directory away")
def test_directory_of_somebody_else_is_found(ready: Workplace) -> None:
    os.chown(ready.secrets, 12345, 12345)
    assert ready.found() == [("secrets", "secrets belongs to another user, who can read it")]


def test_file_of_another_name_is_told(ready: Workplace) -> None:
    ready.secret("sendgrid_api_keys", "canary")
    assert ("secrets", "secrets/sendgrid_api_keys is used by nobody") in ready.warnings()


def test_relays_key_that_looks_like_something_else_is_told(ready: Workplace) -> None:
    ready.secret("sendgrid_api_key", "canary-0123456789abcdef")
    assert (
        "relay",
        "secrets/sendgrid_api_key does not look like SendGrid's, which begins with SG.",
    ) in ready.warnings()
    ready.set(MAIL_RELAY_HOST="smtp.other-relay.dev")
    assert "relay" not in dict(ready.warnings())


def test_no_output_ever_holds_a_secret(ready: Workplace) -> None:
    """A canary in every place that is read, in order and out of order."""
    for secret, end in itertools.product(MAIL_SECRETS, ("", "\n", "\ncanary\n", " ", "\x1b")):
        ready.secret(secret.path, f"canary-{secret.path}{end}")
    (ready.secrets / "tls" / "privkey.pem").chmod(0o644)
    (ready.secrets / "tls" / "privkey.pem").write_text("canary")
    ready.answer("config", None, error="invalid: MAIL_X\n")
    for arguments in (["check", "mailserver"], ["check", "mailserver", "--json"], ["init", "mailserver", "--json"]):
        ended = ready.run(*arguments)
        assert "canary" not in ended.out + ended.err


# -- certificate ------------------------------------------------------------------------------------------------------


def write_tls(work: Workplace, chain: bytes | None = None, key: bytes | None = None) -> None:
    for name, content in (("fullchain.pem", chain), ("privkey.pem", key)):
        if content is not None:
            path = work.secrets / "tls" / name
            path.chmod(0o644)
            path.write_bytes(content)
            path.chmod(0o444)


def test_self_signed_certificate_is_a_warning(ready: Workplace) -> None:
    name = "secrets/tls/fullchain.pem"
    assert ("certificate", f"{name} is self-signed: every mail program will ask") in ready.warnings()


def test_certificate_for_another_name_is_found(ready: Workplace) -> None:
    write_tls(ready, *self_signed("mail.other-home.dev", datetime.now(UTC)))
    assert ready.found() == [("certificate", f"secrets/tls/fullchain.pem is for mail.other-home.dev, not for {HOST}")]


@pytest.mark.parametrize(
    ("name", "host", "is_covered"),
    [
        (HOST, HOST.upper(), True),
        ("*.home-of-tests.dev", HOST, True),
        ("*.home-of-tests.dev", "a.mail.home-of-tests.dev", False),
        ("*.home-of-tests.dev", "home-of-tests.dev", False),
        ("*.dev", HOST, False),
    ],
)
def test_wildcard_is_one_label(ready: Workplace, name: str, host: str, is_covered: bool) -> None:
    write_tls(ready, *self_signed(name, datetime.now(UTC)))
    ready.set(MAIL_HOSTNAME=host)
    assert (ready.found() == []) == is_covered


def test_certificate_that_expires_is_told_and_one_that_has_is_found(ready: Workplace) -> None:
    now = datetime.now(UTC)
    write_tls(ready, *self_signed(HOST, now - timedelta(days=390)))
    assert any("expires on" in text for _, text in ready.warnings())
    assert ready.found() == []
    assert "has expired on" in ready.found(now=now + timedelta(days=8))[0][1]
    assert "is not valid before" in ready.found(now=now - timedelta(days=391))[0][1]


def test_key_that_does_not_belong_to_the_certificate_is_found(ready: Workplace) -> None:
    write_tls(ready, key=self_signed(HOST, datetime.now(UTC))[1])
    assert ready.found() == [
        ("certificate", "secrets/tls/privkey.pem does not belong to the first certificate of fullchain.pem")
    ]


def _encrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary"))


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        (b"nothing", None, "fullchain.pem holds no certificate in PEM"),
        (b"", None, "fullchain.pem is empty"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None, "fullchain.pem holds no certificate"),
        (None, b"nothing", "privkey.pem holds no private key in PEM"),
        (None, _encrypted(), "privkey.pem is encrypted"),
    ],
)
def test_file_that_is_no_certificate_or_key_is_found(
    ready: Workplace, chain: bytes | None, key: bytes | None, said: str
) -> None:
    write_tls(ready, chain, key)
    ((check, text),) = ready.found()
    assert check == "certificate"
    assert said in text


def test_key_as_tailscale_leaves_it_is_found(ready: Workplace) -> None:
    """0600: the containers' users could not read it."""
    (ready.secrets / "tls" / "privkey.pem").chmod(0o600)
    assert ready.found() == [("certificate", "secrets/tls/privkey.pem cannot be read by the containers' users")]


def test_chain_without_its_intermediate_is_told(ready: Workplace) -> None:
    write_tls(ready, *issued(HOST, with_issuer=False))
    assert ("certificate", "secrets/tls/fullchain.pem holds no intermediate certificate") in ready.warnings()
    write_tls(ready, *issued(HOST, with_issuer=True))
    assert "certificate" not in dict(ready.warnings())
    assert ready.found() == []


def issued(host: str, *, with_issuer: bool) -> tuple[bytes, bytes]:
    now = datetime.now(UTC)
    authority = x509.load_pem_x509_certificate(self_signed("authority.dev", now)[0])
    key, signing = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .sign(signing, hashes.SHA256())
    )
    chain = leaf.public_bytes(Encoding.PEM) + (authority.public_bytes(Encoding.PEM) if with_issuer else b"")
    return chain, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# -- places -----------------------------------------------------------------------------------------------------------


def test_place_that_is_not_there_is_found(ready: Workplace, tmp_path: Path) -> None:
    ready.set(HOMEPORT_HDD=str(tmp_path / "none"))
    assert ready.found() == [("places", f"HOMEPORT_HDD names {tmp_path}/none, which is no directory")]


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 8:2 / {0} rw shared:1 master:2 - {1} /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("kind", "found"), [("ext4", []), ("xfs", []), ("vfat", [True]), ("nfs4", [False]), ("tmpfs", [False])]
)
def test_file_system_that_cannot_hold_the_data_is_found(tmp_path: Path, kind: str, found: list[bool]) -> None:
    place = places.Place(SSD, "tests", 0, 0)
    seen = list(places.look(place, str(tmp_path), MOUNTS.format(tmp_path.parent, kind)))
    assert [each.is_problem for each in seen] == found
    assert all(kind in each.text for each in seen)


def test_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    name = tmp_path / "a disk"
    (name / "below").mkdir(parents=True)
    escaped = str(name).replace(" ", "\\040")
    text = MOUNTS.format(escaped, "xfs") + f"24 22 8:3 / {tmp_path}/a rw - btrfs /dev/sdc rw\nnonsense\n"
    assert places.file_system(name / "below", text) == "xfs"
    assert places.file_system(tmp_path / "another", text) == "ext4"
    assert places.file_system(name, "") == ""


@pytest.mark.parametrize(("least", "advised", "found"), [(0, 0, []), (0, 2**62, [False]), (2**62, 2**62, [True])])
def test_place_without_room_is_found(tmp_path: Path, least: int, advised: int, found: list[bool]) -> None:
    seen = places.look(places.Place(SSD, "tests", least, advised), str(tmp_path), "")
    assert [each.is_problem for each in seen] == found


# -- engine and ports -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said", "error", "found"),
    [
        ("engine", None, "permission denied", "docker does not answer: docker ended with 1: permission denied"),
        ("engine", "19.03.5", "", "docker is 19.03, older than 20.10"),
        ("engine", "?", "", "docker does not say its version"),
        ("compose", None, "", "docker compose is not installed"),
        ("compose", "v2.6.0", "", "docker compose is 2.6, older than 2.20"),
        (
            "config",
            None,
            "services.x: bad\n",
            "compose.yaml is refused by Compose: docker ended with 1: services.x: bad",
        ),
    ],
)
def test_engine_that_does_not_do_is_found(
    ready: Workplace, answer: str, said: str | None, error: str, found: str
) -> None:
    ready.answer(answer, said, error=error)
    assert ready.found() == [("engine", found)]


def test_machine_without_docker_is_told_to_install_it(ready: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert ready.found() == [("engine", "docker is not installed, or not to be found")]


def test_engine_that_hangs_is_given_up(ready: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.stacks.engine.ANSWER_S", 0.2)
    (ready.docker / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    assert ready.found() == [("engine", "docker does not answer: docker did not end within 0.2 s")]


@pytest.mark.stacks
def test_real_engine_and_compose_are_in_order(ready: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2] + ":/usr/local/bin")  # without the script
    ready.set(COMPOSE_PROJECT_NAME="homeport-check")
    assert ready.found() == []
    assert "engine" not in dict(ready.warnings())
    with (ready.directory / "compose.yaml").open("a") as file:
        file.write("nonsense: 1\n")
    ((check, text),) = ready.found()
    assert check == "engine"
    assert "nonsense" in text


def test_what_compose_warns_of_is_told(ready: Workplace) -> None:
    ready.answer("config", "", error='level=warning msg="the attribute `version` is obsolete"\n')
    assert any("obsolete" in text for check, text in ready.warnings() if check == "engine")


def test_port_of_another_program_is_found_and_the_stacks_own_is_not(ready: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ready.set(MAIL_IMAPS_PORT=str(port))
        assert ready.found() == [("ports", f"MAIL_IMAPS_PORT is {port}, where another program listens on 127.0.0.1")]
        row = {"Name": "x", "Publishers": [{"URL": "127.0.0.1", "TargetPort": 10993, "PublishedPort": port}]}
        for said in (json.dumps(row), json.dumps([row]), json.dumps(row) + "\n" + json.dumps({"Publishers": None})):
            ready.answer("ps", said)
            assert ready.found() == []


# -- which stack ------------------------------------------------------------------------------------------------------


def test_stack_is_found_from_wherever_one_stands(
    bare: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for here in (tmp_path, bare.directory, bare.secrets):
        monkeypatch.chdir(here)
        assert Stack.find("mailserver", None).directory == bare.directory
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("/")
    assert Stack.find("mailserver", None).directory == MAILSERVER  # this program's own checkout
    with pytest.raises(StackNotFound, match=r"there is no compose\.yaml in"):
        Stack.find("mailserver", tmp_path / "elsewhere")


def test_stack_that_is_not_there_ends_in_one_line(run_stack: Callable[..., object], tmp_path: Path) -> None:
    ended = run_stack("check", "mailserver", "--dir", str(tmp_path))
    assert (ended.code, ended.error) == (1, f"homeport: error: there is no compose.yaml in {tmp_path}")  # type: ignore[attr-defined]
    assert run_stack("check", "kitchen").code == 2  # type: ignore[attr-defined]
