"""The clamd that other tests rely on does what `clamd.py` promises."""

from __future__ import annotations

import socket

import pytest

from tests.services.clamd import TEST_FILES, Clamd, eicar


def said(clamd: Clamd, data: bytes) -> bytes:
    is_unix = clamd.address.startswith("unix://")
    with socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET) as connection:
        connection.settimeout(10)
        connection.connect(clamd.address.removeprefix("unix://") if is_unix else ("127.0.0.1", clamd.port))
        connection.sendall(b"zINSTREAM\0" + len(data).to_bytes(4) + data + bytes(4))
        return connection.recv(4096)


def test_clamd_knows_the_test_string(clamd: Clamd) -> None:
    assert said(clamd, b"nothing") == b"stream: OK\0"
    assert said(clamd, eicar()) == b"stream: Eicar-Test.UNOFFICIAL FOUND\0"


@pytest.mark.parametrize("name", ["clam.exe", "clam.zip", "clam.cab", "clam.7z"])
def test_clamd_knows_the_test_files(clamd: Clamd, name: str) -> None:
    assert said(clamd, (TEST_FILES / name).read_bytes()) == b"stream: Clam-Test-File.UNOFFICIAL FOUND\0"


@pytest.mark.services
def test_clamd_answers_on_a_unix_socket() -> None:
    with Clamd(unix=True) as clamd:
        assert said(clamd, b"nothing") == b"stream: OK\0"
