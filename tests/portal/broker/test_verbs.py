"""Every verb on a real engine: what it says is what is, and nothing is reached that carries no allowed label."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Literal

import pytest

from portal.broker import schemas, wp
from portal.broker.failures import ContainerProtected, EngineRefused, NoSuchContainer, NotAllowed
from tests.portal.brokers import RunningBroker
from tests.services.docker_engine import IMAGE, DockerEngine, TestContainer

CANARY = "canary-7f3a91c2"


async def _one(broker: RunningBroker, container: TestContainer) -> schemas.Container:
    listed = await broker.client.ask(schemas.List())
    (found,) = [each for each in listed.containers if each.id == container.id]
    return found


# -- list and inspect -------------------------------------------------------------------------------------------------


async def test_list_shows_known_stacks_and_nothing_else(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    mail, blog = (
        docker_engine.run(service="mail-nginx"),
        docker_engine.run(stack="blog", service="blog-php", start=False),
    )
    docker_engine.run(stack=None)
    docker_engine.run(stack="other")
    docker_engine.run(stack="")
    docker_engine.run(stack="mail,blog")
    docker_engine.run(stack="Mail")
    before = time.time()
    listed = await broker.client.ask(schemas.List())
    assert [each.id for each in listed.containers] == [blog.id, mail.id]
    assert before <= listed.measured_at <= time.time()


async def test_list_says_how_each_container_is(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    running = docker_engine.run(
        service="mail-nginx", name="n1", ports={"8080/tcp": ("127.0.0.1", 18080), "9/udp": None}
    )
    exited = docker_engine.run("exit 3")
    created = docker_engine.run(start=False)
    paused = docker_engine.run()
    docker_engine.client.api.pause(paused.id)
    exited.wait_for(Status="exited")

    found = await _one(broker, running)
    assert (found.name, found.stack, found.service, found.project) == ("n1", "mail", "mail-nginx", "homeport-test")
    assert (found.state, found.health, found.exit_code, found.oom_killed) == ("running", "none", None, False)
    assert (found.image, found.restart_count, found.protection) == (IMAGE, 0, None)
    assert found.image_id.startswith("sha256:")
    assert found.started_at is not None
    assert found.created_at <= found.started_at <= time.time()
    ports = {(port.container_port, port.protocol, port.host_address, port.host_port) for port in found.ports}
    assert (8080, "tcp", "127.0.0.1", 18080) in ports
    assert [network.name for network in found.networks] == ["bridge"]

    found = await _one(broker, exited)
    assert (found.state, found.exit_code) == ("exited", 3)
    assert found.finished_at is not None
    assert ((await _one(broker, created)).state, (await _one(broker, created)).exit_code) == ("created", None)
    assert (await _one(broker, paused)).state == "paused"


async def test_health_and_restarts_are_the_engines(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    check: dict[str, Any] = {"test": ["CMD-SHELL", "echo not today; exit 1"], "interval": 10**8, "retries": 1}
    ill = docker_engine.run(healthcheck=check)
    looping = docker_engine.run("exit 1", restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
    looping.wait_for(Status="exited")
    while (await _one(broker, ill)).health != "unhealthy":
        pass
    found = await _one(broker, looping)
    assert (found.state, found.restart_count, found.restart_policy, found.exit_code) == ("exited", 2, "on-failure", 1)
    details = await broker.client.ask(schemas.Inspect(container=ill.id))
    assert details.health_checks[-1].output.strip() == "not today"
    assert details.failing_streak >= 1


async def test_inspect_tells_names_of_the_environment_and_no_value(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    container = docker_engine.run(
        f"sleep 1000 # {CANARY}",
        environment={"DB_PASSWORD": CANARY, "PLAIN": CANARY, "EMPTY": ""},
        labels={"com.example.token": CANARY},
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        mem_limit="64m",
        pids_limit=20,
        nano_cpus=500_000_000,
        user="1000:1000",
    )
    answer = broker.document(json.dumps({"verb": "inspect", "container": container.id}).encode())
    assert CANARY.encode() not in answer
    details = await broker.client.ask(schemas.Inspect(container=container.id))
    assert {"DB_PASSWORD", "EMPTY", "PLAIN"} <= set(details.environment)
    assert (details.user, details.is_read_only, details.is_privileged) == ("1000:1000", True, False)
    assert (details.capabilities_dropped, details.security_options) == (("ALL",), ("no-new-privileges",))
    assert (details.memory_limit_bytes, details.pids_limit, details.cpu_limit) == (64 * 1024**2, 20, 0.5)


# -- start, stop, restart ---------------------------------------------------------------------------------------------


async def test_stop_start_and_restart_do_that(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run("trap 'exit 7' TERM; while :; do sleep 0.05; done")
    stopped = await broker.client.ask(schemas.Stop(container=container.id))
    assert (stopped.state, stopped.exit_code) == ("exited", 7)
    assert (await broker.client.ask(schemas.Stop(container=container.id))).state == "exited"
    started = await broker.client.ask(schemas.Start(container=container.id))
    assert started.state == "running"
    assert (await broker.client.ask(schemas.Start(container=container.id))).started_at == started.started_at
    restarted = await broker.client.ask(schemas.Restart(container=container.id, grace_s=5))
    assert restarted.state == "running"
    assert restarted.started_at is not None
    assert started.started_at is not None
    assert restarted.started_at > started.started_at


async def test_stop_kills_what_ignores_it_after_its_grace(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run("trap '' TERM; while :; do sleep 0.05; done")
    stopped = await broker.client.ask(schemas.Stop(container=container.id, grace_s=0))
    assert (stopped.state, stopped.exit_code) == ("exited", 137)


async def test_engines_refusal_comes_through_in_its_words(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    container = docker_engine.run(start=False, entrypoint=["/no/such/program"])
    with pytest.raises(EngineRefused, match="no such file"):
        await broker.client.ask(schemas.Start(container=container.id))


@pytest.mark.parametrize("stack", [None, "other", "mail "])
async def test_foreign_container_looks_like_none_at_all(
    broker: RunningBroker, docker_engine: DockerEngine, stack: str | None
) -> None:
    foreign = docker_engine.run(stack=stack, service="mail-nginx")
    started_at = foreign.state()["StartedAt"]
    requests = (schemas.Inspect, schemas.Start, schemas.Stop, schemas.Restart)
    answers = []
    for container in (foreign.id, "0" * 64):
        for request in requests:
            with pytest.raises(NoSuchContainer) as refused:
                await broker.client.ask(request(container=container))
            answers.append(refused.value.document())
        for stream in (schemas.Logs, schemas.WatchStats):
            with pytest.raises(NoSuchContainer):
                async with broker.client.follow(stream(container=container)) as flow:
                    await anext(flow)
    assert all(answer == answers[0] for answer in answers)
    assert (await broker.client.ask(schemas.Stats(containers=(foreign.id,)))).samples == ()
    assert foreign.state()["Running"]
    assert foreign.state()["StartedAt"] == started_at


# -- protected containers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "labels", "role"),
    [
        ("mail-dovecot", {}, "mailboxes"),
        ("blog-db", {}, "database"),
        ("blog-cloudflared", {}, "tunnel"),
        ("portal", {}, "portal"),
        ("mail-anything", {"homeport.protected": "database"}, "database"),
    ],
)
async def test_protected_container_needs_an_override_and_says_what_goes_dark(
    broker: RunningBroker, docker_engine: DockerEngine, service: str, labels: dict[str, str], role: str
) -> None:
    container = docker_engine.run(service=service, labels=labels)
    started_at = container.state()["StartedAt"]
    for request in (schemas.Stop(container=container.id), schemas.Restart(container=container.id)):
        with pytest.raises(ContainerProtected) as refused:
            await broker.client.ask(request)
        protection = refused.value.extensions["protection"]
        assert isinstance(protection, dict)
        assert protection["role"] == role
        assert protection["goes_dark"]
    assert container.state()["StartedAt"] == started_at
    override = schemas.Override(reason="new certificate")
    stopped = await broker.client.ask(schemas.Stop(container=container.id, grace_s=0, override=override))
    assert stopped.state == "exited"
    started = await broker.client.ask(schemas.Start(container=container.id))  # bringing it back needs none
    assert (started.state, started.protection and started.protection.role) == ("running", role)


# -- overviews --------------------------------------------------------------------------------------------------------


async def test_stacks_are_grouped_by_compose_project(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    files = {"com.docker.compose.project.config_files": "/srv/compose.yaml,/srv/more.yaml"}
    one = docker_engine.run(project="home", labels=files)
    two = docker_engine.run(project="home", stack="blog", start=False)
    docker_engine.run(project="home", stack="foreign")
    other = docker_engine.run(project="another")
    answer = await broker.client.ask(schemas.Stacks())
    by_project = {each.project: each for each in answer.stacks}
    assert set(by_project) == {"home", "another"}
    assert set(by_project["home"].containers) == {one.id, two.id}
    assert by_project["home"].stacks == ("blog", "mail")
    assert by_project["home"].config_files == ("/srv/compose.yaml", "/srv/more.yaml")
    assert (by_project["home"].running, by_project["another"].containers) == (1, (other.id,))


async def test_images_and_disk_usage(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    assert (await broker.client.ask(schemas.Images())).images == ()
    container = docker_engine.run("dd if=/dev/zero of=/tmp/block bs=1024 count=1024 2>/dev/null; sleep 1000")
    (image,) = (await broker.client.ask(schemas.Images())).images
    assert (image.tags, image.containers) == ((IMAGE,), (container.id,))
    assert image.size_bytes > 500_000
    while (use := await broker.client.ask(schemas.DiskUsage())).containers.size_bytes < 1024**2:
        pass
    assert (use.images.count, use.containers.count) == (1, 1)
    assert use.images.size_bytes >= image.size_bytes


async def test_stats_measure_what_runs(broker: RunningBroker, docker_engine: DockerEngine) -> None:
    busy, idle = docker_engine.run("while :; do :; done"), docker_engine.run()
    stopped = docker_engine.run(start=False)
    ids = (busy.id, idle.id, stopped.id)
    first = {each.container: each for each in (await broker.client.ask(schemas.Stats(containers=ids))).samples}
    second = {each.container: each for each in (await broker.client.ask(schemas.Stats(containers=ids))).samples}
    assert set(first) == set(second) == {busy.id, idle.id}
    assert second[busy.id].at > first[busy.id].at
    assert second[busy.id].cpu_ns - first[busy.id].cpu_ns > second[idle.id].cpu_ns - first[idle.id].cpu_ns
    assert 0 < second[idle.id].memory_bytes < 64 * 1024**2
    assert second[idle.id].processes == 1


# -- wp ---------------------------------------------------------------------------------------------------------------

# Stands in for wp: says who it is, what it was given and what it sees (test-runtimes.md 7 has the real stand-in).
_WP = """
for site in shop system rooted other; do mkdir -p /srv/sites/$site/public /srv/sites/$site/private; done
mkdir -p /usr/local/bin
printf '#!/bin/sh\\nid -u; id -g; echo "$@"; env; cat; echo oops >&2; exit 4\\n' > /usr/local/bin/wp
chmod 755 /usr/local/bin/wp
chown 20001:33 /srv/sites/shop/public; chown 20001:20001 /srv/sites/shop/private
chown 33:33 /srv/sites/system/private; chown 30000:30000 /srv/sites/other/private
touch /ready; sleep 1000
"""
_SECRET = "Kx7vQm2Rt9Lp4Wz8Yb3N"


def _wp(site: str = "shop", *command: str, **more: Any) -> schemas.WpCli:
    return schemas.WpCli(site=site, url="https://shop.test", command=command or ("core", "version"), **more)


async def _ready(engine: DockerEngine, container: TestContainer) -> None:
    api = engine.client.api
    while True:
        looked = api.exec_create(container.id, ["test", "-e", "/ready"])["Id"]
        api.exec_start(looked)
        if api.exec_inspect(looked)["ExitCode"] == 0:
            return
        await asyncio.sleep(0.02)


async def test_wp_runs_as_the_sites_owner_and_never_as_the_systems(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    with pytest.raises(NoSuchContainer):
        await broker.client.ask(_wp())
    php = docker_engine.run(_WP, stack="blog", service="blog-php", environment={"DB_ROOT_PASSWORD": CANARY})
    await _ready(docker_engine, php)
    ended = await broker.client.ask(_wp())
    uid, gid, given, *environment = ended.stdout.splitlines()
    assert (uid, gid) == ("20001", "20001"), "not the web server's group, to which the tree belongs"
    assert given == "--path=/srv/sites/shop/public --url=https://shop.test --no-color core version"
    names = {each.partition("=")[0] for each in environment if each not in wp.NOTHING_OF_THE_SITES}
    assert names <= {"PATH", "HOME", "TMPDIR", "LC_ALL", "PWD", "SHLVL", "_"}
    assert (ended.stderr, ended.exit_code, ended.is_cut) == ("oops\n", 4, False)
    for site in ("system", "rooted", "other"):
        with pytest.raises(NotAllowed, match="account of the system"):
            await broker.client.ask(_wp(site))
    with pytest.raises(NoSuchContainer):
        await broker.client.ask(_wp("missing"))
    with pytest.raises(NotAllowed):
        await broker.client.ask(_wp("shop", "db", "export"))


async def test_wp_gets_a_password_by_standard_input_and_gives_none_back(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    php = docker_engine.run(_WP, stack="blog", service="blog-php")
    await _ready(docker_engine, php)
    ended = await broker.client.ask(_wp("shop", "user", "update", arguments=("7",), stdin=_SECRET))
    assert ended.stdout.splitlines()[-1] == "[secret]", "the stand-in said what it read"
    assert _SECRET not in ended.stdout


async def test_wp_that_never_ends_is_ended_and_a_flood_is_cut(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    flood = _WP.replace('echo "$@"; env; cat', "yes flood | head -c 6000000; sleep 1000")
    php = docker_engine.run(flood, stack="blog", service="blog-php")
    await _ready(docker_engine, php)
    ended = await broker.client.ask(_wp(timeout_s=1))
    assert ended.is_cut
    assert len(ended.stdout) == 1024**2
    assert ended.exit_code != 0
    inventory = await broker.client.ask(_wp("shop", "homeport", "inventory", timeout_s=1))
    assert len(inventory.stdout) == 4 * 1024**2


async def test_output_that_is_escaped_as_long_as_can_be_still_comes_through(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    flood = _WP.replace(
        'echo "$@"; env; cat', "dd if=/dev/zero bs=1000000 count=5; dd if=/dev/zero bs=1000000 count=5 >&2"
    )
    php = docker_engine.run(flood, stack="blog", service="blog-php")
    await _ready(docker_engine, php)
    ended = await broker.client.ask(_wp("shop", "homeport", "inventory"))
    assert (len(ended.stdout), len(ended.stderr), ended.is_cut) == (4 * 1024**2, 1024**2, True)


# -- site-files and web-config ----------------------------------------------------------------------------------------

_PROGRAM = """
mkdir -p /usr/local/bin
printf '#!/bin/sh\\nid -u; echo "$0 $@"; cat; echo; exit 3\\n' > /usr/local/bin/NAME
chmod 755 /usr/local/bin/NAME
touch /ready; sleep 1000
"""


async def test_program_for_trees_is_told_by_standard_input_in_its_own_container(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    database = schemas.DatabaseLogin(host="blog-db", name="wp_shop", user="wp_shop", password=_SECRET)
    secrets = schemas.Secrets(url="https://shop.test", database=database)
    request = schemas.SiteFiles(action="create", site="shop", uid=20001, secrets=secrets)
    script = _PROGRAM.replace("NAME", "site-files")
    other = docker_engine.run(script, stack="blog", service="blog-php")
    await _ready(docker_engine, other)
    with pytest.raises(NoSuchContainer):
        await broker.client.ask(request)
    container = docker_engine.run(script, stack="blog", service="blog-site-files")
    await _ready(docker_engine, container)
    ended = await broker.client.ask(request)
    uid, line, document = (line.strip() for line in ended.stdout.splitlines())
    assert (uid, line, ended.exit_code) == ("0", "/usr/local/bin/site-files", 3)
    assert json.loads(document)["secrets"]["database"] == database.model_dump() | {"password": "[secret]"}
    second = docker_engine.run(stack="blog", service="blog-site-files")
    with pytest.raises(NoSuchContainer, match="2 running containers"):
        await broker.client.ask(request)
    second.remove()


@pytest.mark.parametrize("part", ["nginx", "php", "redis"])
async def test_web_config_runs_as_its_container_does(
    broker: RunningBroker, docker_engine: DockerEngine, part: Literal["nginx", "php", "redis"]
) -> None:
    script = _PROGRAM.replace("NAME", "web-config")
    container = docker_engine.run(script, stack="blog", service=f"blog-{part}", user="0:33")
    await _ready(docker_engine, container)
    ended = await broker.client.ask(schemas.WebConfig(part=part, action="reload"))
    assert ended.stdout.split() == ["0", "/usr/local/bin/web-config", "reload"]
    docker_engine.clear()
    with pytest.raises(NoSuchContainer):
        await broker.client.ask(schemas.WebConfig(part=part, action="reload"))


async def test_program_that_reads_nothing_of_what_it_is_told_ends_all_the_same(
    broker: RunningBroker, docker_engine: DockerEngine
) -> None:
    deaf = _PROGRAM.replace("NAME", "site-files").replace("cat; ", "")
    container = docker_engine.run(deaf, stack="blog", service="blog-site-files")
    await _ready(docker_engine, container)
    ended = await broker.client.ask(schemas.SiteFiles(action="measure", site="shop", uid=20001))
    assert ended.exit_code == 3
