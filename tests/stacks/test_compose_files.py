"""The Compose files are valid without a setting and without a word of Compose's, and publish where they are told to."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.deployment import BLOG_FILE, FOREIGN, MAIL_FILE, ROOT_FILE

FILES = {"mailserver": MAIL_FILE, "blog": BLOG_FILE, "root": ROOT_FILE}


def configured(file: Path, *options: str, **settings: str) -> dict[str, Any]:
    """What Compose makes of a file. It must have nothing to say about it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    argv = ["docker", "compose", "--env-file", os.devnull, "--file", str(file), *options, "config", "--format", "json"]
    ended = subprocess.run(argv, env=environment | settings, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_file_is_valid_without_a_setting_and_without_a_warning(file: Path) -> None:
    assert configured(file)["services"]
    assert configured(file, "--profile", "*")["services"].keys() >= configured(file)["services"].keys()


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_ports_are_published_on_the_given_address_and_by_default_on_this_machine_alone(file: Path) -> None:
    for address, settings in (
        ("127.0.0.1", {}),
        ("100.64.7.7", dict.fromkeys(("TAILSCALE_IP", "PORTAL_ADDRESS"), "100.64.7.7")),
    ):
        services = configured(file, "--profile", "*", **settings)["services"].values()
        ports = [port for service in services for port in service.get("ports", [])]
        assert {port.get("host_ip") for port in ports} == ({address} if file != BLOG_FILE else set())


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_only_the_broker_has_the_engines_socket(file: Path) -> None:
    services = configured(file, "--profile", "*")["services"]
    holders = {
        name
        for name, service in services.items()
        if any("docker.sock" in str(volume.get("source")) for volume in service.get("volumes", []))
    }
    assert holders == ({"broker"} if "broker" in services else set())


@pytest.mark.parametrize("file", [MAIL_FILE, BLOG_FILE], ids=["mailserver", "blog"])
def test_root_file_has_a_stack_as_it_is(file: Path) -> None:
    """Included, not copied: what is started alone is what the root file starts."""
    alone, root = configured(file, "--profile", "*"), configured(ROOT_FILE, "--profile", "*")
    assert {name: root["services"].get(name) for name in alone["services"]} == alone["services"]
    assert {name: root["networks"].get(name) for name in alone["networks"]} == alone["networks"]


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_every_service_belongs_to_a_stack_and_is_limited(file: Path) -> None:
    for name, service in configured(file, "--profile", "*")["services"].items():
        assert service["labels"]["homeport.stack"], name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert service["pids_limit"], name
