"""The engine's documents read into ours. Pure; what is missing is taken as absent."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from portal.broker import protection
from portal.broker.schemas import (
    Container,
    Details,
    DiskUse,
    Event,
    Health,
    HealthCheck,
    Image,
    LogLine,
    Mount,
    Network,
    Port,
    Sample,
    Usage,
)

Json = Mapping[str, Any]

STACK = "homeport.stack"
PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
CONFIG_FILES = "com.docker.compose.project.config_files"
DEPENDS_ON = "com.docker.compose.depends_on"  # "db:service_healthy:false,cache:service_started:true"

# What the engine tells of containers; exec and attach are left out, their text holds command lines.
ACTIONS = frozenset({"create", "start", "restart", "stop", "kill", "die", "oom", "destroy", "pause", "unpause"})
ACTIONS |= {"rename", "update", "health_status"}
HEALTH_OUTPUT_CHARACTERS = 500
MAX_DEPENDENCIES = 100
LINE_BYTES = 32 * 1024  # the engine itself splits at 16 KiB

_FRAME = struct.Struct(">BxxxL")  # Engine API, "Attach to a container": stream type, length
_FRACTION = re.compile(r"\.(\d{1,9})")
_HEALTHS: dict[str, Health] = {"starting": "starting", "healthy": "healthy", "unhealthy": "unhealthy"}


def moment(text: str | None) -> float | None:
    """Given the engine's time, RFC 3339 with nanoseconds, return seconds since the epoch; None for none (year 1)."""
    if not text or text.startswith("0001-"):
        return None
    fraction = _FRACTION.search(text)
    whole = datetime.fromisoformat(_FRACTION.sub("", text).replace("Z", "+00:00")).astimezone(UTC).timestamp()
    return whole + (float(f"0.{fraction[1]}") if fraction else 0.0)


def labels_of(inspected: Json) -> dict[str, str]:
    return dict(inspected.get("Config", {}).get("Labels") or {})


def service_of(labels: Mapping[str, str], name: str) -> str:
    return labels.get(SERVICE) or name


def depends_on(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The services that Compose starts before this one."""
    services = (each.partition(":")[0].strip() for each in labels.get(DEPENDS_ON, "").split(",", MAX_DEPENDENCIES))
    return tuple(sorted({service for service in services if service})[:MAX_DEPENDENCIES])


def container(inspected: Json, digests: Mapping[str, str]) -> Container:
    """Given what inspect says and digests by image id, return what a list shows."""
    return Container(**_container(inspected, digests))


def details(inspected: Json, digests: Mapping[str, str]) -> Details:
    config, host = inspected.get("Config", {}), inspected.get("HostConfig", {})
    health = inspected.get("State", {}).get("Health") or {}
    return Details(
        **_container(inspected, digests),
        environment=tuple(sorted(each.partition("=")[0] for each in config.get("Env") or ())),
        user=config.get("User") or "root",
        mounts=tuple(
            Mount(
                kind=each.get("Type", ""),
                source=each.get("Name") or each.get("Source", ""),
                target=each.get("Destination", ""),
                is_writable=bool(each.get("RW")),
            )
            for each in inspected.get("Mounts") or ()
        ),
        memory_limit_bytes=host.get("Memory") or None,
        cpu_limit=(host.get("NanoCpus") or 0) / 1e9 or None,
        pids_limit=host.get("PidsLimit") or None,
        is_read_only=bool(host.get("ReadonlyRootfs")),
        is_privileged=bool(host.get("Privileged")),
        capabilities_added=tuple(host.get("CapAdd") or ()),
        capabilities_dropped=tuple(host.get("CapDrop") or ()),
        security_options=tuple(host.get("SecurityOpt") or ()),
        health_checks=tuple(
            HealthCheck(
                at=moment(each.get("Start")),
                exit_code=int(each.get("ExitCode", 0)),
                output=str(each.get("Output", ""))[:HEALTH_OUTPUT_CHARACTERS],
            )
            for each in health.get("Log") or ()
        ),
        failing_streak=int(health.get("FailingStreak", 0)),
    )


def _container(inspected: Json, digests: Mapping[str, str]) -> dict[str, Any]:
    labels, state = labels_of(inspected), inspected.get("State", {})
    host = inspected.get("HostConfig", {})
    name = str(inspected.get("Name", "")).removeprefix("/")
    service = service_of(labels, name)
    finished_at = moment(state.get("FinishedAt"))
    networks = inspected.get("NetworkSettings", {})
    return {
        "id": inspected["Id"],
        "name": name,
        "stack": labels.get(STACK, ""),
        "service": service,
        "project": labels.get(PROJECT),
        "image": inspected.get("Config", {}).get("Image", ""),
        "image_id": inspected.get("Image", ""),
        "image_digest": digests.get(inspected.get("Image", "")),
        "state": state.get("Status", "dead"),
        "health": _HEALTHS.get((state.get("Health") or {}).get("Status", ""), "none"),
        "exit_code": None if state.get("Running") or finished_at is None else state.get("ExitCode"),
        "oom_killed": bool(state.get("OOMKilled")),
        "error": state.get("Error") or None,
        "restart_count": int(inspected.get("RestartCount", 0)),
        "restart_policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
        "created_at": moment(inspected.get("Created")) or 0.0,
        "started_at": moment(state.get("StartedAt")),
        "finished_at": finished_at,
        "ports": tuple(_ports(networks.get("Ports") or {})),
        "networks": tuple(
            Network(name=network, address=each.get("IPAddress") or None)
            for network, each in sorted((networks.get("Networks") or {}).items())
        ),
        "protection": protection.protection_of(service, labels.get(protection.LABEL)),
        "depends_on": depends_on(labels),
    }


def _ports(ports: Json) -> Iterator[Port]:
    for name, bindings in sorted(ports.items()):
        number, _, protocol = name.partition("/")
        published: Sequence[Json] = bindings or [{}]
        for binding in published:
            yield Port(
                container_port=int(number),
                protocol=protocol,
                host_address=binding.get("HostIp") or None,
                host_port=int(binding["HostPort"]) if binding.get("HostPort") else None,
            )


def event(document: Json) -> Event | None:
    """Given one event, return ours, or None for what is nobody's business."""
    actor = document.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action, _, rest = str(document.get("Action", "")).partition(":")
    if document.get("Type") != "container" or action not in ACTIONS:
        return None
    name = attributes.get("name", "")
    at_ns = int(document.get("timeNano") or int(document.get("time", 0)) * 10**9)
    return Event(
        at=at_ns / 1e9,
        at_ns=at_ns,
        action=action,
        container=actor.get("ID", ""),
        name=name,
        stack=attributes.get(STACK, ""),
        service=service_of(attributes, name),
        image=attributes.get("image", ""),
        exit_code=_number(attributes.get("exitCode")),
        signal=attributes.get("signal"),
        health=_HEALTHS.get(rest.strip(), "none") if action == "health_status" else None,
    )


def sample(document: Json, container_id: str) -> Sample | None:
    """Given one document of stats, return a sample; None when the container does not run."""
    at = moment(document.get("read"))
    cpu, before = document.get("cpu_stats") or {}, document.get("precpu_stats") or {}
    memory = document.get("memory_stats") or {}
    if at is None or not memory.get("usage"):
        return None
    system, system_before = cpu.get("system_cpu_usage"), before.get("system_cpu_usage")
    used = int((cpu.get("cpu_usage") or {}).get("total_usage", 0))
    used_before = int((before.get("cpu_usage") or {}).get("total_usage", 0))
    processors = int(cpu.get("online_cpus") or len((cpu.get("cpu_usage") or {}).get("percpu_usage") or ()) or 1)
    percent = None
    if system and system_before and system > system_before:
        percent = max(0.0, (used - used_before) / (system - system_before) * processors * 100)
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup 1, cgroup 2
    networks = (document.get("networks") or {}).values()
    block = (document.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    limit = memory.get("limit")
    return Sample(
        container=container_id,
        at=at,
        cpu_ns=used,
        system_cpu_ns=system,
        processors=processors,
        cpu_percent=percent,
        memory_bytes=max(0, int(memory["usage"]) - int(cache)),
        memory_limit_bytes=limit,
        network_received_bytes=sum(each.get("rx_bytes", 0) for each in networks),
        network_sent_bytes=sum(each.get("tx_bytes", 0) for each in networks),
        block_read_bytes=sum(each.get("value", 0) for each in block if str(each.get("op")).lower() == "read"),
        block_written_bytes=sum(each.get("value", 0) for each in block if str(each.get("op")).lower() == "write"),
        processes=(document.get("pids_stats") or {}).get("current"),
    )


def image(document: Json, used_by: tuple[str, ...]) -> Image:
    return Image(
        id=document.get("Id", ""),
        tags=tuple(document.get("RepoTags") or ()),
        digests=tuple(document.get("RepoDigests") or ()),
        size_bytes=int(document.get("Size") or 0),
        created_at=float(document.get("Created") or 0),
        containers=used_by,
    )


def disk_use(document: Json) -> DiskUse:
    images, containers = document.get("Images") or (), document.get("Containers") or ()
    volumes, caches = document.get("Volumes") or (), document.get("BuildCache") or ()
    sizes = [(each.get("UsageData") or {}).get("Size", 0) for each in volumes]
    idle = [(each.get("UsageData") or {}).get("RefCount", 1) == 0 for each in volumes]
    return DiskUse(
        images=Usage(
            count=len(images),
            size_bytes=int(document.get("LayersSize") or 0),
            reclaimable_bytes=sum(int(each.get("Size", 0)) for each in images if not each.get("Containers")),
        ),
        containers=Usage(
            count=len(containers),
            size_bytes=sum(int(each.get("SizeRw") or 0) for each in containers),
            reclaimable_bytes=sum(
                int(each.get("SizeRw") or 0) for each in containers if each.get("State") != "running"
            ),
        ),
        volumes=Usage(
            count=len(volumes),
            size_bytes=sum(max(0, size) for size in sizes),
            reclaimable_bytes=sum(max(0, size) for size, is_idle in zip(sizes, idle, strict=True) if is_idle),
        ),
        build_cache=Usage(
            count=len(caches),
            size_bytes=sum(int(each.get("Size", 0)) for each in caches),
            reclaimable_bytes=sum(int(each.get("Size", 0)) for each in caches if not each.get("InUse")),
        ),
    )


class LogReader:
    """Turns the bytes of a log, cut anywhere, into lines.

    is_terminal   the container has a terminal: one stream without frames; all of it counts as stdout
    """

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[LogLine]:
        self._rest += data
        if self._is_terminal:
            *lines, self._rest = self._rest.split(b"\n")
            yield from (_line("stdout", line + b"\n") for line in lines)
            return
        start = 0
        while len(self._rest) - start >= _FRAME.size:
            kind, length = _FRAME.unpack_from(self._rest, start)
            if len(self._rest) - start - _FRAME.size < length:
                break
            start += _FRAME.size
            yield _line("stderr" if kind == 2 else "stdout", self._rest[start : start + length])
            start += length
        self._rest = self._rest[start:]

    def end(self) -> Iterator[LogLine]:
        """What a terminal printed last, without a line's end."""
        if self._is_terminal and self._rest:
            yield _line("stdout", self._rest)


def _line(stream: Literal["stdout", "stderr"], entry: bytes) -> LogLine:
    """Given one entry with the engine's time before it, return the line."""
    at, _, text = entry.partition(b" ")
    whole = text.endswith(b"\n")
    return LogLine(
        at=at.decode("ascii", "replace")[:40],
        stream=stream,
        text=text[:LINE_BYTES].decode("utf-8", "replace").removesuffix("\n").removesuffix("\r"),
        is_partial=not whole or len(text) > LINE_BYTES,
    )


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
