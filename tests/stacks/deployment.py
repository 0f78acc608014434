"""Homeport as it is deployed: the root compose.yaml on the machine's Docker engine, in a project of its own.

    with Deployment(directory) as stack:
        anna = stack.add_mailbox()
        with stack.edge(directory / "edge") as edge:
            edge.receive(message(), rcpt_to=anna.address)
        anna.wait_for(1)

Beside the project's own files there is compose.test.yaml with the stand-ins: tunnels on 127.0.0.1, a smarthost, wp.
Every setting is given here, so no .env of this checkout counts; ports are free ones of 127.0.0.1. The SSD is a
directory, the HDD a small tmpfs, so that it can be full, but for the blog's part of it, which lies beside the SSD.
Needs root: data belong to the containers' users.

Entering builds the images and boots; what is not up then is shown with its log. Leaving takes everything away, also
after a failed start: containers, networks, volumes, directories. Images stay, they are the next run's cache. When the
test process itself dies without a word, a small shell beside it does the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.signing import Key, parse_keys
from tests.services.edge import Edge
from tests.services.homeport import Poster
from tests.services.process import Service, ServiceFailed, free_port
from tests.stacks.authority import Authority
from tests.stacks.mailbox import StackMailbox
from tests.stacks.smarthost import Smarthost

ROOT = Path(__file__).parents[2]
ROOT_FILE = ROOT / "compose.yaml"
MAIL_FILE = ROOT / "stacks" / "mailserver" / "compose.yaml"
BLOG_FILE = ROOT / "stacks" / "blog" / "compose.yaml"
WP = ROOT / "tests" / "services" / "wp"
OVERLAY = Path(__file__).with_name("compose.test.yaml")
STAND_INS = Path(__file__).with_name("stand_ins")
DOCKER_SOCKET = Path("/var/run/docker.sock")
HEALTH_INTERVAL = "2s"
IMAGE_TAG = "stacks-test"  # of every run: what one has built is the next one's cache

DOMAIN = "home.test"
HOSTNAME = "mail.home.test"
HDD_BYTES = 96 * 1024**2
BUILD_S, UP_S, DOWN_S, COMMAND_S = 900.0, 300.0, 120.0, 120.0

# Without DNS these judge nothing, or everything to be spam (containers.md 10).
RSPAMD_MODULES_OFF = "rbl surbl phishing asn hfilter fuzzy_check spf dmarc arc dkim url_redirector"
SUBMISSION_RATE = 50  # recipients an hour of one login: more than any test but that of the limit needs
RELAY_USER, RELAY_PASSWORD = "apikey", "SG.of-this-test"
CLAMAV_USER = 3310
EICAR_NAME = "Eicar-Test-Signature"

# Waits for a line; an end of file means that the test process is gone, and all of PROJECT and DIRECTORY go with it.
GUARD = """
read _ && exit
label=label=com.docker.compose.project=$PROJECT
docker ps --all --quiet --filter $label | xargs -r docker rm --force --volumes
docker network ls --quiet --filter $label | xargs -r docker network rm
docker volume ls --quiet --filter $label | xargs -r docker volume rm
umount "$HDD/blog" "$HDD"
rm -rf "$DIRECTORY"
"""

# Whatever sets something for a stack or for Compose; a test must not depend on its caller's.
FOREIGN = ("HOMEPORT_", "MAIL_", "COMPOSE_", "TAILSCALE_", "PORTAL_", "RSPAMD_", "CLOUDFLARED_", "BLOG_", "WP_")


def eicar() -> bytes:
    """The harmless file that every virus scanner reports. In pieces: no file here is one itself."""
    return b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!" + b"$H+H*"


def gtube() -> bytes:
    """The line that every spam scanner refuses; in pieces likewise."""
    return b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL" + b"*C.34X"


class Deployment(Service):
    """All stacks, booted once. `figures` has what its start took and how much memory it uses, for the run's summary.

    settings   more variables of the Compose file, or others
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        if os.geteuid() != 0:
            raise ServiceFailed("booting the stacks needs root: their data belong to the containers' users")
        self.directory = directory
        self.project = f"homeport-test-{secrets.token_hex(4)}"
        self.files = [ROOT_FILE, OVERLAY]
        self.ssd, self.hdd, self.secrets = directory / "ssd", directory / "hdd", directory / "secrets"
        self.blog_secrets = directory / "blog-secrets"
        self.backup = directory / "backup"
        self.smarthost = Smarthost(directory / "smarthost")
        self.figures: dict[str, str] = {}
        self.ports = {
            name: free_port() for name in ("imaps", "pop3s", "sieve", "submission", "submissions", "webmail", "portal")
        }
        self.tunnel_port, self.web_tunnel_port = free_port(), free_port()
        self._settings = dict(settings or {})
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def portal_url(self) -> str:
        return f"http://localhost:{self.ports['portal']}"

    @cached_property
    def authority(self) -> Authority:
        return Authority(self.directory / "authority")

    @cached_property
    def environment(self) -> dict[str, str]:
        """Of every `docker compose` of this stack."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return inherited | {
            "COMPOSE_PROJECT_NAME": self.project,
            "BASE_IMAGE": base_image(),
            "HOMEPORT_IMAGE_TAG": IMAGE_TAG,
            "HOMEPORT_SSD": str(self.ssd),
            "HOMEPORT_HDD": str(self.hdd),
            "HOMEPORT_BACKUP": str(self.backup),
            "HOMEPORT_BACKUP_CONFIG_DIR": str(self.directory / "backup-config"),
            "HOMEPORT_BACKUP_RESTORE_DIR": str(self.directory / "backup-restore"),
            "TAILSCALE_IP": "127.0.0.1",
            "MAIL_IMAPS_PORT": str(self.ports["imaps"]),
            "MAIL_POP3S_PORT": str(self.ports["pop3s"]),
            "MAIL_SIEVE_PORT": str(self.ports["sieve"]),
            "MAIL_SUBMISSION_PORT": str(self.ports["submission"]),
            "MAIL_SUBMISSIONS_PORT": str(self.ports["submissions"]),
            "MAIL_WEBMAIL_PORT": str(self.ports["webmail"]),
            "PORTAL_PORT": str(self.ports["portal"]),
            "PORTAL_PUBLIC_URL": self.portal_url,
            "PORTAL_HEALTH_INTERVAL": HEALTH_INTERVAL,
            "DOCKER_GID": str(DOCKER_SOCKET.stat().st_gid),
            "MAIL_NETWORK_NAME": f"{self.project}-network",
            "MAIL_HOSTNAME": HOSTNAME,
            "MAIL_DOMAINS": DOMAIN,
            "MAIL_SECRETS_DIR": str(self.secrets),
            "MAIL_TLS_DIR": str(self.directory / "tls"),
            "MAIL_RELAY_HOST": Smarthost.NAME,
            "MAIL_RELAY_PORT": str(Smarthost.PORT),
            "MAIL_RELAY_CA_FILE": "/run/authority.pem",
            "MAIL_HEALTH_INTERVAL": HEALTH_INTERVAL,
            "MAIL_SUBMISSION_RATE": str(SUBMISSION_RATE),
            "MAIL_DKIM": "local",
            "RSPAMD_DISABLED_MODULES": RSPAMD_MODULES_OFF,
            "HOMEPORT_TEST_STAND_INS": str(STAND_INS),
            "HOMEPORT_TEST_SMARTHOST": str(self.smarthost.directory),
            "HOMEPORT_TEST_AUTHORITY": str(self.authority.certificate),
            "HOMEPORT_TEST_TUNNEL_PORT": str(self.tunnel_port),
            "BLOG_NETWORK_NAME": f"{self.project}-blog-network",
            "BLOG_SECRETS_DIR": str(self.blog_secrets),
            "BLOG_HEALTH_INTERVAL": HEALTH_INTERVAL,
            "WP_CLI": "none",
            "HOMEPORT_TEST_WP": str(WP),
            "HOMEPORT_TEST_WEB_TUNNEL_PORT": str(self.web_tunnel_port),
            **self._settings,
        }

    # -- start and end --------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD],
            env=self.environment | {"PROJECT": self.project, "HDD": str(self.hdd), "DIRECTORY": str(self.directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )
        self._prepare()
        began = time.monotonic()
        self.compose("build", "--quiet", timeout_s=BUILD_S)
        built = time.monotonic()
        try:
            self._up()
        except ServiceFailed as error:
            raise ServiceFailed(f"{error}\n{self.troubles()}") from error
        self.figures["build"] = f"{built - began:.0f} s"
        self.figures["boot, on empty volumes"] = f"{time.monotonic() - built:.1f} s"
        self._compose_homeport("mail-migrate", ["mailboxes", "domain", "add", DOMAIN])

    def close(self) -> None:
        """Take everything away. Raise ServiceFailed naming what is still there."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10", timeout_s=DOWN_S)
        for place in (self.hdd / "blog", self.hdd):
            if os.path.ismount(place):
                run(["umount", str(place)])
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._guard is not None:
            self._guard.communicate(b"\n")
            self._guard = None
        if left := self.left_behind():
            raise ServiceFailed(f"left behind: {left}")

    def left_behind(self) -> list[str]:
        """What bears this project's name, or lies in its directory."""
        label = f"label=com.docker.compose.project={self.project}"
        found = [
            f"{kind} {name}"
            for kind, listing in (
                ("container", ["ps", "--all", "--format", "{{.Names}}"]),
                ("network", ["network", "ls", "--format", "{{.Name}}"]),
                ("volume", ["volume", "ls", "--format", "{{.Name}}"]),
            )
            for name in run(["docker", *listing, "--filter", label]).split()
        ]
        return [*found, *([str(self.directory)] if self.directory.exists() else [])]

    def _prepare(self) -> None:
        for path in (self.ssd, self.hdd):
            path.mkdir(parents=True)
        run(["mount", "-t", "tmpfs", "-o", f"size={HDD_BYTES},mode=755", "homeport-test", str(self.hdd)])
        for path in (self.hdd / "blog", self.directory / "blog-data"):
            path.mkdir()
        run(["mount", "--bind", str(self.directory / "blog-data"), str(self.hdd / "blog")])
        self.authority.issue(self.directory / "tls", HOSTNAME, "localhost", "127.0.0.1")
        self.smarthost.prepare(self.authority)
        self._prepare_secrets()
        signatures = self.ssd / "mailserver" / "clamav"  # instead of the official database; .checked: it is current
        signatures.mkdir(parents=True)
        (signatures / "test.ndb").write_text(f"{EICAR_NAME}:0:*:{eicar().hex()}\n")
        (signatures / ".checked").touch()
        for path in (signatures, *signatures.iterdir()):
            os.chown(path, CLAMAV_USER, CLAMAV_USER)
        signatures.chmod(0o750)

    def _prepare_secrets(self) -> None:
        """By the command that an operator runs, in directories that look like the stacks'."""
        homeport = str(Path(sys.executable).with_name("homeport"))
        for file, target in ((MAIL_FILE, self.secrets), (BLOG_FILE, self.blog_secrets)):
            copy = self.directory / "stacks" / file.parent.name
            copy.mkdir(parents=True)
            for name in ("compose.yaml", ".env.example"):
                shutil.copy(file.parent / name, copy)
            run([homeport, "stack", "init", file.parent.name, "--dir", str(copy)])
            (copy / "secrets").rename(target)
        (self.blog_secrets / "blog_cloudflared_token").write_text("of-no-tunnel-at-all")
        key = self.secrets / "sendgrid_api_key"  # nobody but SendGrid can make one
        key.unlink(missing_ok=True)
        key.write_text(RELAY_PASSWORD)
        key.chmod(0o444)

    # -- Compose and Docker ---------------------------------------------------------------------------------------

    def compose(
        self, *arguments: str, given: str | None = None, timeout_s: float = COMMAND_S, allowed: Sequence[int] = (0,)
    ) -> str:
        """Run `docker compose`; return its standard output. Raise ServiceFailed with what it said when it fails."""
        files = [argument for path in self.files for argument in ("--file", str(path))]
        argv = ["docker", "compose", "--ansi", "never", "--env-file", os.devnull, *files, *arguments]
        return run(argv, env=self.environment, given=given, timeout_s=timeout_s, allowed=allowed)

    def execute(self, service: str, *argv: str, given: str | None = None, user: str | None = None) -> str:
        """Run a program in a service's container."""
        return self.compose("exec", "-T", *(["--user", user] if user else []), service, *argv, given=given)

    @cached_property
    def services(self) -> list[str]:
        """Every service that stays up, the stand-ins too."""
        one_shots = {name for name, state in self.states().items() if state["State"]["Status"] == "exited"}
        return sorted(set(self.states()) - one_shots)

    def states(self) -> dict[str, dict[str, Any]]:
        """What `docker inspect` says of each container, by service."""
        listed = self.compose("ps", "--all", "--quiet").split()
        containers = json.loads(run(["docker", "inspect", *listed])) if listed else []
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in containers}

    def state(self, service: str) -> dict[str, Any]:
        container = self.compose("ps", "--all", "--quiet", service).strip()
        state: dict[str, Any] = json.loads(run(["docker", "inspect", container]))[0]
        return state

    def wait_until_healthy(self, *services: str) -> None:
        """Start what is not running, and return when it does its work."""
        self._up("--no-deps", "--no-recreate", *services)

    def recreate(self) -> None:
        """Make every container anew; the data stay."""
        self._up("--force-recreate")

    def _up(self, *options: str) -> None:
        waiting = ["--wait", "--wait-timeout", str(int(UP_S))]
        self.compose("up", "--detach", "--pull", "never", *waiting, *options, timeout_s=UP_S + COMMAND_S)

    @contextlib.contextmanager
    def stopped(self, *services: str) -> Iterator[None]:
        """Let services be away for a while; they are healthy again when this is left."""
        self.compose("stop", "--timeout", "10", *services)
        try:
            yield
        finally:
            self.wait_until_healthy(*services)

    def log(self, service: str, lines: int = 40) -> str:
        return self.compose("logs", "--no-color", "--no-log-prefix", "--tail", str(lines), service)

    def troubles(self) -> str:
        """The end of the log of whatever is not well."""
        told = []
        for service, inspected in self.states().items():
            state = inspected["State"]
            health = state.get("Health", {})
            is_well = state["Status"] == "running" and health.get("Status", "healthy") == "healthy"
            if is_well or (state["Status"] == "exited" and state["ExitCode"] == 0):
                continue
            probes = [probe["Output"].strip() for probe in health.get("Log") or []][-1:]
            told.append(
                f"-- {service}: {state['Status']} {state['ExitCode']} {health.get('Status', '')} {probes}\n"
                f"{self.log(service)}"
            )
        return "\n".join(told)

    def address(self, service: str, network: str) -> str:
        """A container's address on a network, such as "mail_scan"."""
        networks = self.state(service)["NetworkSettings"]["Networks"]
        full = network if network in networks else f"{self.project}_{network}"
        return str(networks[full]["IPAddress"])

    def inside(self, service: str, source: str, *arguments: str, timeout_s: float = COMMAND_S) -> str:
        """Run Python of this machine in the network of a container, as the container would; return what it prints."""
        pid = str(self.state(service)["State"]["Pid"])
        argv = ["nsenter", "--target", pid, "--net", sys.executable, "-I", "-c", source, *arguments]
        return run(argv, timeout_s=timeout_s)

    # -- mail -----------------------------------------------------------------------------------------------------

    @property
    def key(self) -> Key:
        return parse_keys((self.secrets / "mail-api" / "keys").read_text())[0]

    @property
    def poster(self) -> Poster:
        """What signs and posts as the Email Worker does, through the tunnel."""
        return Poster(self.tunnel_port, self.key)

    def edge(self, directory: Path) -> Edge:
        """An edge whose Worker posts through the tunnel."""
        return Edge(directory, mail_api=f"http://127.0.0.1:{self.tunnel_port}", key=self.key)

    def add_mailbox(
        self, name: str | None = None, *, quota: str | None = None, receive_only: bool = False
    ) -> StackMailbox:
        """Make a mailbox as an operator does, a fresh one unless it is named."""
        address = f"{name or f'u{secrets.token_hex(4)}'}@{DOMAIN}"
        password = secrets.token_urlsafe(16)
        options = [*(["--quota", quota] if quota else []), *(["--receive-only"] if receive_only else [])]
        self._compose_homeport("mail-migrate", ["mailboxes", "add", address, *options], given=f"{password}\n")
        return StackMailbox(address, password, self.ports, self.authority.certificate)

    def add_alias(self, mailbox: StackMailbox) -> str:
        alias = f"a{secrets.token_hex(4)}@{DOMAIN}"
        self._compose_homeport("mail-migrate", ["mailboxes", "alias", "add", alias, mailbox.address])
        return alias

    def spooled(self, place: str = "queue") -> list[dict[str, Any]]:
        """What lies in a place of the spool: queue, active, hold, corrupt."""
        page = json.loads(self._homeport("mail", "queue", "list", "--place", place, "--json"))
        entries: list[dict[str, Any]] = page["entries"]
        return entries

    def waiting(self) -> str:
        """The same of all places for a person, and what ingress and delivery said last."""
        lines = [
            f"{place}: {entry['queue_id']} to {entry['rcpt_to']}, {entry.get('attempts')} tries, {entry.get('reason')}"
            for place in ("queue", "active", "hold", "corrupt")
            for entry in self.spooled(place)
        ]
        logs = [f"-- {service}\n{self.log(service, 15)}" for service in ("mail-ingress", "mail-delivery")]
        return "\n".join([*lines, *logs])

    def retry(self) -> None:
        """Let everything in the queue be tried now."""
        self._homeport("mail", "queue", "retry")

    def drop(self, entry: Mapping[str, Any], reason: str) -> None:
        self._homeport("mail", "queue", "drop", entry["queue_id"], "--yes", "--reason", reason)

    def is_idle(self) -> bool:
        """Whether nothing waits to be delivered or is being delivered."""
        return not self.spooled() and not self.spooled("active")

    def _homeport(self, *argv: str) -> str:
        """Run `homeport ...` beside the delivery process."""
        return self.execute("mail-delivery", "homeport", *argv)

    def _compose_homeport(self, service: str, argv: list[str], *, given: str | None = None) -> str:
        """Run `homeport ...` in a container of a one-shot service, which has the settings and secrets for it."""
        return self.compose("run", "--rm", "--no-deps", "-T", service, *argv, given=given)


@contextlib.contextmanager
def full(directory: Path) -> Iterator[None]:
    """Fill the file system that a directory lies on, to the last byte, for a while."""
    ballast = directory / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1024**2, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
    finally:
        ballast.unlink(missing_ok=True)


def base_image() -> str:
    """The image that all others are built on; made if need be."""
    return run([str(ROOT / "scripts" / "base-image")], timeout_s=BUILD_S).strip()


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    given: str | None = None,
    timeout_s: float = COMMAND_S,
    allowed: Sequence[int] = (0,),
) -> str:
    """Return a command's standard output. Raise ServiceFailed, with all that it said, on another exit code."""
    ended = subprocess.run(argv, env=env, input=given or "", capture_output=True, text=True, timeout=timeout_s)
    if ended.returncode not in allowed:
        said = "\n".join([*ended.stdout.splitlines(), *ended.stderr.splitlines()][-60:])
        raise ServiceFailed(f"{' '.join(argv)}: exit code {ended.returncode}\n{said}")
    return ended.stdout
