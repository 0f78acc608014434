"""scripts/docker-engine and scripts/base-image, on the engine that is here and on one of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.stacks.deployment import ROOT, base_image, run

ENGINE = str(ROOT / "scripts" / "docker-engine")

# A place without an engine: networks, processes, /run and the engine's data are its own, so the machine's is untouched.
APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
EMPTY = "mount -t tmpfs tmpfs /run && mkdir /run/lock && mount --bind {data} /var/lib/docker && ip link set lo up && "


def apart(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    data = directory / "data"
    data.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    script = EMPTY.format(data=data) + script
    return subprocess.run(
        [*APART, "sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def test_engine_that_answers_is_used_and_left_alone() -> None:
    before = run(["docker", "info", "--format", "{{.ID}} {{.SystemTime}}"]).split()[0]
    assert run([ENGINE, "docker", "info", "--format", "{{.ID}}"]).split() == [before]
    assert run(["docker", "info", "--format", "{{.ID}}"]).split() == [before]


def test_exit_code_is_the_commands() -> None:
    assert subprocess.run([ENGINE, "sh", "-c", "exit 7"], timeout=60).returncode == 7


def test_engine_is_started_for_the_command_and_ended_after_it(tmp_path: Path) -> None:
    ended = apart(
        tmp_path,
        f"{ENGINE} sh -c 'docker info --format started:{{{{.ID}}}}; exit 3'; echo code $?; pgrep dockerd; docker info",
    )
    first, second, third, *_ = ended.stdout.splitlines()
    assert first.endswith("no engine answers; starting dockerd for this run")
    assert second.startswith("started:")
    assert third == "code 3"
    assert ended.returncode != 0
    assert "Cannot connect to the Docker daemon" in ended.stderr


def test_pid_files_of_an_engine_that_lost_its_machine_are_not_believed(tmp_path: Path) -> None:
    left = "mkdir -p /run/docker/containerd; echo 1 | tee /run/docker.pid > /run/docker/containerd/containerd.pid; "
    ended = apart(tmp_path, f"{left} {ENGINE} docker info --format started:{{{{.ID}}}}; ls /run | grep homeport-docker")
    assert ended.stderr == ""
    assert ended.stdout.splitlines()[1].startswith("started:")
    assert len(ended.stdout.splitlines()) == 2, "nothing of it is left in /run"


def test_two_at_once_start_one_engine_and_the_last_ends_it(tmp_path: Path) -> None:
    both = f"{ENGINE} sh -c 'docker info --format {{{{.ID}}}}; sleep 0.5; docker info --format {{{{.ID}}}}'"
    ended = apart(tmp_path, f"{both} & {both} & wait; pgrep -c dockerd")
    lines = ended.stdout.splitlines()
    assert sum("starting dockerd" in line for line in lines) == 1
    identities = [line for line in lines if ":" in line and "docker-engine" not in line]
    assert len(identities) == 4
    assert len(set(identities)) == 1
    assert lines[-1] == "0"


def test_base_image_is_made_once_and_says_that_it_is_not_for_shipping() -> None:
    name = base_image()
    assert base_image() == name
    (inspected,) = json.loads(run(["docker", "image", "inspect", name]))
    if name.startswith("homeport-local/"):
        assert inspected["Config"]["Labels"]["homeport.local-base"] == "true"
