"""What each container may do, read back from the engine and from the kernel: one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.deployment import Deployment, run

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Rights:
    """All that is not the same for everybody.

    uid         of its first process
    is_once     does its work and ends
    has_engine  has the engine's socket, and by it the machine
    """

    uid: int
    capabilities: frozenset[str] = field(default_factory=frozenset)
    secrets: frozenset[str] = field(default_factory=frozenset)
    stack: str = "mailserver"
    is_once: bool = False
    has_engine: bool = False


def caps(*names: str) -> frozenset[str]:
    return frozenset(names)


def db(*names: str) -> frozenset[str]:
    return frozenset(f"mail_db_{name}_password" for name in names)


def blog_db(*names: str) -> frozenset[str]:
    return frozenset(f"blog_db_{name}_password" for name in names)


RIGHTS = {
    "mail-prepare": Rights(0, caps("CHOWN", "DAC_OVERRIDE", "FOWNER"), is_once=True),
    "mail-migrate": Rights(10002, secrets=db("owner"), is_once=True),
    "mail-db": Rights(999, secrets=db("root", "owner", "dovecot", "postfix", "roundcube", "backup", "restore")),
    "mail-dovecot": Rights(5000, secrets=db("dovecot") | {"rspamd_controller_password"}),
    "mail-postfix": Rights(
        0,
        caps("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL"),
        secrets=db("postfix") | {"sendgrid_api_key"},
    ),
    "mail-rspamd": Rights(11333, secrets=frozenset({"rspamd_controller_password"})),
    "mail-valkey": Rights(6379),
    "mail-clamav": Rights(3310),
    "mail-freshclam": Rights(3310),
    "mail-ingress": Rights(10001),
    "mail-delivery": Rights(10001),
    "mail-roundcube": Rights(33, secrets=db("roundcube") | {"roundcube_des_key"}),
    "mail-webmail": Rights(33),
    "portal-prepare": Rights(0, caps("CHOWN", "DAC_OVERRIDE", "FOWNER"), stack="portal", is_once=True),
    "portal-migrate": Rights(10002, stack="portal", is_once=True),
    "portal": Rights(10002, secrets=blog_db("admin", "console", "write") | {"mail_db_owner_password"}, stack="portal"),
    "broker": Rights(10003, stack="portal", has_engine=True),
    "blog-prepare": Rights(0, caps("CHOWN", "DAC_OVERRIDE", "FOWNER"), stack="blog", is_once=True),
    "blog-db": Rights(999, secrets=blog_db("admin", "console", "write", "backup", "restore"), stack="blog"),
    "blog-redis": Rights(6379, stack="blog"),
    "blog-php": Rights(0, caps("SETUID", "SETGID", "KILL"), stack="blog"),
    "blog-nginx": Rights(33, stack="blog"),
    "blog-site-files": Rights(0, caps("CHOWN", "DAC_OVERRIDE", "FOWNER"), stack="blog"),
}


@pytest.fixture
def states(stack: Deployment) -> dict[str, dict[str, Any]]:
    return {service: state for service, state in stack.states().items() if not service.startswith("test-")}


def test_the_table_has_every_container(states: dict[str, dict[str, Any]]) -> None:
    assert set(states) == set(RIGHTS)


@pytest.mark.parametrize("service", RIGHTS)
def test_container_has_the_rights_of_the_table_and_no_more(states: dict[str, dict[str, Any]], service: str) -> None:
    rights, inspected = RIGHTS[service], states[service]
    host, config = inspected["HostConfig"], inspected["Config"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert {name.removeprefix("CAP_") for name in host["CapAdd"] or []} == rights.capabilities
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert 8 * MIB <= host["Memory"] <= 4096 * MIB
    assert 0 < host["PidsLimit"] <= 1024
    assert host["RestartPolicy"]["Name"] == ("no" if rights.is_once else "unless-stopped")
    assert (host["PidMode"], host["UTSMode"], host["IpcMode"]) == ("", "", "private")
    assert host["NetworkMode"] != "host"
    assert not host["Devices"]
    assert host["LogConfig"]["Config"].keys() == {"max-size", "max-file"}
    assert config["Labels"]["homeport.stack"] == rights.stack
    assert rights.is_once or config["Healthcheck"]["Test"][0] in ("CMD", "CMD-SHELL")
    secrets = {
        Path(mount["Destination"]).name
        for mount in inspected["Mounts"]
        if mount["Destination"].startswith("/run/secrets/")
    }
    assert secrets == rights.secrets
    assert any(mount["Source"].endswith("docker.sock") for mount in inspected["Mounts"]) == rights.has_engine
    writable = [mount["Destination"] for mount in inspected["Mounts"] if mount["RW"]]
    assert not any(path.startswith(("/run/secrets", "/run/tls", "/etc", "/usr")) for path in writable)
    leaked = [value for value in config["Env"] if "PASSWORD=" in value or "SECRET=" in value or "KEY=" in value]
    assert leaked == []


@pytest.mark.parametrize("service", [name for name, rights in RIGHTS.items() if not rights.is_once])
def test_kernel_agrees(states: dict[str, dict[str, Any]], service: str) -> None:
    rights, inspected = RIGHTS[service], states[service]
    status = dict(
        line.split(":\t", 1)
        for line in (Path("/proc") / str(inspected["State"]["Pid"]) / "status").read_text().splitlines()
    )
    assert {int(uid) for uid in status["Uid"].split()} == {rights.uid}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert bin(int(status["CapBnd"], 16)).count("1") == len(rights.capabilities)
    listed = run(["docker", "top", inspected["Id"], "-eo", "pid,uid"]).splitlines()[1:]  # it wants the pid
    assert ("0" in {line.split()[1] for line in listed}) == (rights.uid == 0)


def test_root_file_system_cannot_be_written(stack: Deployment, states: dict[str, dict[str, Any]]) -> None:
    for service, inspected in states.items():
        if inspected["State"]["Running"]:
            said = stack.execute(service, "sh", "-c", "touch /etc/x /usr/x /x 2>&1 || echo refused", user="0")
            assert said.count("Read-only file system") == 3, (service, said)


def test_memory_in_use_stays_within_bounds(stack: Deployment, states: dict[str, dict[str, Any]]) -> None:
    """Without ClamAV's official signatures, which take another gibibyte (containers.md 15). The blog has its sites."""
    used = {}
    for service, inspected in states.items():
        if not inspected["State"]["Running"]:
            continue
        listed = run(["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", inspected["Id"]])
        used[service] = _mib(listed.partition("/")[0].strip())
    for title, is_of, limit in (("blog", True, 1536), ("mail and portal", False, 1024)):
        these = {name: mib for name, mib in used.items() if name.startswith("blog-") == is_of}
        shown = ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(these.items(), key=lambda each: -each[1]))
        stack.figures[f"memory in use, {title}"] = f"{sum(these.values()):.0f} MiB ({shown})"
        assert sum(these.values()) <= limit, title


def _mib(size: str) -> float:
    units = {"GiB": 1024.0, "MiB": 1.0, "KiB": 1 / 1024, "B": 1 / MIB}
    unit = next(unit for unit in units if size.endswith(unit))
    return float(size.removesuffix(unit)) * units[unit]
