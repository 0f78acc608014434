"""What the broker does: one method per verb, each on containers that it has looked up itself.

A target is a full id. It is inspected, and its label `homeport.stack` compared with the list this process was started
with; whatever carries no allowed value is answered as if it were not there. Nothing a request says takes part in that.
The result of a verb is an answer, or a `Flow`: an iterator of answers that ends, and can be ended from another thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from kit.logging import get_logger
from portal.broker import reading, schemas, site_files, web_config, wp
from portal.broker.engine import Engine, Json, Stream, documents
from portal.broker.failures import ContainerProtected, NoSuchContainer, NotAllowed

log = get_logger()
T = TypeVar("T")
U = TypeVar("U")

LOOKERS = 8  # containers inspected at once; the engine answers in 1-2 ms each
SAMPLERS = 64  # containers measured at once; the engine answers within the next second
LINES_AT_ONCE = 500  # log lines in one item
STDERR_BYTES = 1024**2  # of a program; with its output, however it is escaped, less than an answer may have
NOBODY = "65534:65534"
ROOT = "0:0"  # only in blog-site-files, which has a fixed program and no network
CONTAINERS_OWN = ""  # the user that the container runs as
BLANK = "[secret]"


class Flow:
    """Answers that go on. `why` is known once the iterator has ended."""

    def __init__(self, stream: Stream, items: Iterator[schemas.Answer]) -> None:
        self._stream = stream
        self._items = items

    def __iter__(self) -> Iterator[schemas.Answer]:
        try:
            yield from self._items
        finally:
            self._stream.release()

    @property
    def why(self) -> Literal["ended", "engine-lost"]:
        return "engine-lost" if self._stream.is_lost else "ended"

    def close(self) -> None:
        """End it, from any thread."""
        self._stream.close()


class Verbs:
    def __init__(self, engine: Engine, stacks: Collection[str], *, sites_root: str) -> None:
        self._engine = engine
        self._stacks = frozenset(stacks)
        self._sites_root = sites_root
        self._lookers = ThreadPoolExecutor(LOOKERS, "broker-look")
        self._samplers = ThreadPoolExecutor(SAMPLERS, "broker-sample")
        self._verbs: Mapping[type[schemas.Request], Callable[[Any], schemas.Answer | Flow]] = {
            schemas.List: self.containers,
            schemas.Inspect: self.inspect,
            schemas.Start: self.start,
            schemas.Stop: self.stop,
            schemas.Restart: self.restart,
            schemas.Logs: self.logs,
            schemas.Stats: self.stats,
            schemas.WatchStats: self.watch_stats,
            schemas.Events: self.events,
            schemas.Stacks: self.stack_list,
            schemas.Images: self.images,
            schemas.DiskUsage: self.disk_usage,
            schemas.WpCli: self.wp_cli,
            schemas.SiteFiles: self.site_files,
            schemas.WebConfig: self.web_config,
        }

    def do(self, request: schemas.Request) -> schemas.Answer | Flow:
        return self._verbs[type(request)](request)

    def close(self) -> None:
        self._lookers.shutdown(cancel_futures=True)
        self._samplers.shutdown(cancel_futures=True)
        self._engine.close()

    # -- reading ------------------------------------------------------------------------------------------------------

    def containers(self, _request: schemas.List) -> schemas.Containers:
        measured_at = time.time()
        digests = self._digests()
        found = _each(self._lookers, self._inspected, self._known_ids())
        containers = [reading.container(inspected, digests) for inspected in found if inspected is not None]
        containers.sort(key=lambda each: (each.stack, each.service, each.name, each.id))
        return schemas.Containers(containers=tuple(containers), measured_at=measured_at)

    def inspect(self, request: schemas.Inspect) -> schemas.Details:
        return reading.details(self._target(request.container), self._digests())

    def stats(self, request: schemas.Stats) -> schemas.Samples:
        wanted = set(request.containers) & set(self._known_ids(only_running=True))
        samples = _each(self._samplers, self._sample, wanted)
        return schemas.Samples(samples=tuple(sample for sample in samples if sample is not None))

    def stack_list(self, _request: schemas.Stacks) -> schemas.StackList:
        by_project: dict[str, list[Json]] = {}
        for each in self._known():
            by_project.setdefault(each["Labels"].get(reading.PROJECT, ""), []).append(each)
        return schemas.StackList(
            stacks=tuple(
                schemas.Stack(
                    project=project or None,
                    stacks=tuple(sorted({each["Labels"][reading.STACK] for each in members})),
                    config_files=tuple(sorted(_files(members))),
                    containers=tuple(each["Id"] for each in members),
                    running=sum(each.get("State") == "running" for each in members),
                )
                for project, members in sorted(by_project.items())
            )
        )

    def images(self, _request: schemas.Images) -> schemas.ImageList:
        used: dict[str, list[str]] = {}
        for each in self._known():
            used.setdefault(each.get("ImageID", ""), []).append(each["Id"])
        documents_ = self._engine.call(lambda client: client.images())
        found = [reading.image(each, tuple(used[each["Id"]])) for each in documents_ if each.get("Id") in used]
        return schemas.ImageList(images=tuple(sorted(found, key=lambda image: (image.tags, image.id))))

    def disk_usage(self, _request: schemas.DiskUsage) -> schemas.DiskUse:
        return reading.disk_use(self._engine.call(lambda client: client.df()))

    # -- acting -------------------------------------------------------------------------------------------------------

    def start(self, request: schemas.Start) -> schemas.Container:
        self._target(request.container)
        self._engine.call(lambda client: client.start(request.container))
        return self._now(request.container)

    def stop(self, request: schemas.Stop) -> schemas.Container:
        self._unprotected(request)
        self._engine.call(lambda client: client.stop(request.container, timeout=request.grace_s))
        return self._now(request.container)

    def restart(self, request: schemas.Restart) -> schemas.Container:
        self._unprotected(request)
        self._engine.call(lambda client: client.restart(request.container, timeout=request.grace_s))
        return self._now(request.container)

    def _unprotected(self, request: schemas.Stop | schemas.Restart) -> None:
        """Raise ContainerProtected unless the target may be taken down, or the caller says why it must be."""
        target = reading.container(self._target(request.container), {})
        if target.protection is not None and request.override is None:
            raise ContainerProtected(f"{target.service} is protected", protection=target.protection)

    def wp_cli(self, request: schemas.WpCli) -> schemas.Ended:
        tree = f"{self._sites_root}/{request.site}"
        line = wp.command_line(request, tree=tree)
        container = self._running(wp.SERVICE)
        looked = self._run(container, ["stat", "-c", "%u", f"{tree}/private"], NOBODY, wp.OUTPUT_BYTES)
        owner = looked.stdout.strip()
        if looked.exit_code != 0 or not owner.isdecimal():
            raise NoSuchContainer("there is no tree of this site")
        if not schemas.FIRST_UID <= int(owner) <= schemas.LAST_UID:
            raise NotAllowed("the site's tree belongs to an account of the system")
        # Never the group of `public`: that one is the web server's, and reads every site.
        ended = self._run(container, line.argv, f"{owner}:{owner}", line.output_bytes, stdin=line.stdin)
        return _without(ended, () if request.stdin is None else (request.stdin,))

    def site_files(self, request: schemas.SiteFiles) -> schemas.Ended:
        container = self._running(site_files.SERVICE)
        argv, document = site_files.argv(request), site_files.document(request)
        ended = self._run(container, argv, ROOT, site_files.OUTPUT_BYTES, stdin=document)
        return _without(ended, site_files.secrets_of(request))

    def web_config(self, request: schemas.WebConfig) -> schemas.Ended:
        container = self._running(web_config.SERVICES[request.part])
        return self._run(container, web_config.argv(request), CONTAINERS_OWN, web_config.OUTPUT_BYTES)

    def _running(self, service: str) -> str:
        """Return the id of the one running container of this service. Raise NoSuchContainer unless there is one."""
        running = [each for each in self._known() if each.get("State") == "running"]
        targets = [each["Id"] for each in running if each["Labels"].get(reading.SERVICE) == service]
        if len(targets) != 1:
            raise NoSuchContainer(f"{len(targets)} running containers are called {service}")
        return str(targets[0])

    def _run(
        self, container_id: str, argv: list[str], user: str, limit: int, *, stdin: bytes | None = None
    ) -> schemas.Ended:
        """Run one of the programs that this package names. Nothing of `argv` but checked values is a caller's."""
        ended = self._engine.run(container_id, argv, user=user, limit=limit, stdin=stdin)
        return schemas.Ended(
            exit_code=ended.exit_code,
            stdout=ended.stdout.decode("utf-8", "replace"),
            stderr=ended.stderr[:STDERR_BYTES].decode("utf-8", "replace"),
            is_cut=ended.is_cut or len(ended.stderr) > STDERR_BYTES,
        )

    # -- streams ------------------------------------------------------------------------------------------------------

    def logs(self, request: schemas.Logs) -> Flow:
        inspected = self._target(request.container)
        parameters: dict[str, str | int] = {
            "follow": int(request.follow),
            "stdout": int(request.stdout),
            "stderr": int(request.stderr),
            "timestamps": 1,
            "tail": "all" if request.tail is None else request.tail,
        }
        if request.since is not None:
            parameters["since"] = f"{request.since:.9f}"
        if request.until is not None:
            parameters["until"] = f"{request.until:.9f}"
        stream = self._engine.open_stream(f"/containers/{request.container}/logs", parameters)
        reader = reading.LogReader(is_terminal=bool(inspected.get("Config", {}).get("Tty")))
        return Flow(stream, _log_items(stream, reader))

    def watch_stats(self, request: schemas.WatchStats) -> Flow:
        self._target(request.container)
        stream = self._engine.open_stream(f"/containers/{request.container}/stats", {"stream": 1})
        return Flow(stream, _samples(stream, request.container))

    def events(self, request: schemas.Events) -> Flow:
        parameters = {"filters": json.dumps({"type": ["container"], "label": [reading.STACK]})}
        if request.since is not None:
            parameters["since"] = f"{request.since:.9f}"
        stream = self._engine.open_stream("/events", parameters)
        read = (reading.event(document) for document in documents(stream))
        return Flow(stream, (event for event in read if event is not None and event.stack in self._stacks))

    # -- looking up ---------------------------------------------------------------------------------------------------

    def _target(self, container_id: str) -> Json:
        """Return what the engine says of a known container. Raise NoSuchContainer for any other."""
        inspected = self._inspected(container_id)
        if inspected is None:
            raise NoSuchContainer()
        return inspected

    def _inspected(self, container_id: str) -> Json | None:
        try:
            inspected: Json = self._engine.call(lambda client: client.inspect_container(container_id))
        except NoSuchContainer:
            return None
        is_known = inspected["Id"] == container_id and reading.labels_of(inspected).get(reading.STACK) in self._stacks
        return inspected if is_known else None

    def _known(self, *, only_running: bool = False) -> list[Json]:
        filters = {"label": [reading.STACK]}
        found = self._engine.call(lambda client: client.containers(all=not only_running, filters=filters))
        return [each for each in found if (each.get("Labels") or {}).get(reading.STACK) in self._stacks]

    def _known_ids(self, *, only_running: bool = False) -> Iterable[str]:
        return [each["Id"] for each in self._known(only_running=only_running)]

    def _digests(self) -> Mapping[str, str]:
        """Image id -> the digest under which a registry knows it."""
        documents_ = self._engine.call(lambda client: client.images())
        return {each["Id"]: each["RepoDigests"][0].partition("@")[2] for each in documents_ if each.get("RepoDigests")}

    def _sample(self, container_id: str) -> schemas.Sample | None:
        try:
            document = self._engine.call(lambda client: client.stats(container_id, stream=False, one_shot=True))
        except NoSuchContainer:  # it went meanwhile
            return None
        return reading.sample(document, container_id)

    def _now(self, container_id: str) -> schemas.Container:
        return reading.container(self._target(container_id), self._digests())


def _without(ended: schemas.Ended, secrets: Iterable[str]) -> schemas.Ended:
    """Blank what a program repeats of what it was told in confidence: some versions of wp do after a prompt."""
    for secret in secrets:
        stdout, stderr = (text.replace(secret, BLANK) for text in (ended.stdout, ended.stderr))
        ended = ended.model_copy(update={"stdout": stdout, "stderr": stderr})
    return ended


def _each(pool: ThreadPoolExecutor, work: Callable[[T], U], items: Iterable[T]) -> Iterable[U]:
    return list(pool.map(work, items))


def _files(members: Iterable[Json]) -> set[str]:
    files = (each["Labels"].get(reading.CONFIG_FILES, "") for each in members)
    return {name for each in files for name in each.split(",") if name}


def _log_items(stream: Stream, reader: reading.LogReader) -> Iterator[schemas.LogLines]:
    while data := stream.read():
        lines = tuple(reader.feed(data))
        for start in range(0, len(lines), LINES_AT_ONCE):
            yield schemas.LogLines(lines=lines[start : start + LINES_AT_ONCE])
    if lines := tuple(reader.end()):
        yield schemas.LogLines(lines=lines)


def _samples(stream: Stream, container_id: str) -> Iterator[schemas.Sample]:
    for document in documents(stream):
        sample = reading.sample(document, container_id)
        if sample is None:
            return  # it has stopped: the engine would go on with empty documents
        yield sample
