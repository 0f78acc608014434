"""The backup's one-shot containers on the booted stack: a night, what the portal sees of it, a restore, a drill."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.services.edge import TAKEN, Edge
from tests.services.homeport import eventually
from tests.services.process import ServiceFailed
from tests.stacks.deployment import BUILD_S, IMAGE_TAG, Deployment, run
from tests.stacks.mailbox import StackMailbox
from tests.stacks.test_way_in import letter

ROOT = "/srv/homeport/backup"
PORTAL_GROUP = 10002
SETTINGS = """
[sources]
allow_same_device = true # of this test: one machine, one disk

[[sources.mariadb]]
name = "mail"
host = "mail-db"
user = "homeport_backup"
password_file = "/run/secrets/mail_db_backup_password"
restore_user = "homeport_restore"
restore_password_file = "/run/secrets/mail_db_restore_password"

[[sources.maildir]]
name = "mail"
path = "/srv/homeport/hdd/mailserver/vmail"

[[sources.files]]
name = "config"
paths = ["/srv/homeport/checkout/compose.yaml", "/srv/homeport/checkout/stacks/mailserver/compose.yaml"]
"""


@dataclass(frozen=True, slots=True)
class Backup:
    """The two services, as the host's timers start them."""

    stack: Deployment

    def run(self, *words: str, service: str = "backup", entrypoint: str | None = None) -> str:
        program = ["--entrypoint", entrypoint] if entrypoint else []
        return self.stack.compose(
            *("--profile", "backup", "run", "--rm", "-T", "--no-deps", *program, service, *words),
            timeout_s=300,
        )

    def homeport(self, *words: str, service: str = "backup") -> Any:
        return json.loads(self.run("backup", *words, "--json", service=service))


@pytest.fixture(scope="module")
def backup(stack: Deployment) -> Backup:
    """The image, and a backup root that `init` has made."""
    stack.compose("--profile", "backup", "build", "--quiet", "backup", timeout_s=BUILD_S)
    backup = Backup(stack)
    config = stack.directory / "backup-config"
    config.mkdir(exist_ok=True)
    stack.backup.mkdir(exist_ok=True)
    image = f"homeport/backup:{IMAGE_TAG}"  # by itself: the services see their settings read-only
    mounts = [f"--volume={config}:/etc/homeport", f"--volume={stack.backup}:{ROOT}"]
    words = ["backup", "init", "--root", ROOT, "--portal-group", str(PORTAL_GROUP), "--no-input"]
    run(["docker", "run", "--rm", "--network=none", *mounts, image, *words])
    with (config / "backup.toml").open("a") as file:
        file.write(SETTINGS)
    return backup


@pytest.fixture(scope="module")
def owner(stack: Deployment, edge: Edge) -> StackMailbox:
    """A mailbox with one message."""
    owner = stack.add_mailbox()
    assert edge.receive(letter(owner, "kept"), rcpt_to=owner.address) == TAKEN
    owner.wait_for(1)
    return owner


@pytest.fixture(scope="module")
def point(backup: Backup, owner: StackMailbox) -> str:
    """The night's point, with that mailbox in it."""
    end = backup.homeport("run", "daily", "--by", "timer")
    assert (end["exit_code"], end["error"]) == (0, "")
    return str(end["result"]["point"])


def test_night_holds_mailboxes_databases_and_configuration(
    stack: Deployment, backup: Backup, owner: StackMailbox, point: str
) -> None:
    listed = backup.homeport("list")[0]
    assert (listed["id"], listed["verified"], listed["repository"] is not None) == (point, True, True)
    assert {f"mailbox:{owner.address}", "database:mail/mail", "database:mail/roundcube", "files:config"} <= set(
        listed["assets"]
    )
    dump = (stack.backup / point / "databases" / "mail" / "mail.sql").read_text()
    assert owner.address.partition("@")[0] in dump


def test_portal_reads_the_catalog_and_can_write_requests_alone(stack: Deployment, point: str) -> None:
    read = "import json; print(json.load(open('/var/lib/homeport-backup/catalog.json'))['points'][0]['id'])"
    assert stack.execute("portal", "python3", "-c", read).strip() == point
    for place, may in (("", False), ("runs/", False), ("requests/", True)):
        written = stack.execute(
            "portal", "sh", "-c", f"touch /var/lib/homeport-backup/{place}.probe 2> /dev/null && echo yes || echo no"
        )
        assert (written.strip() == "yes") is may, place
    assert "No such" in stack.execute("portal", "sh", "-c", f"ls {ROOT} 2>&1 || true")


def test_request_of_the_portal_is_done(stack: Deployment, backup: Backup, point: str) -> None:
    run_id = "20261122T010000Z-verify-00000001"
    request = {
        "schema_version": 1,
        "id": run_id,
        "act": "verify",
        "by": "anna",
        "at": "2026-11-22T01:00:00Z",
        "point": point,
    }
    write = f"open('/var/lib/homeport-backup/requests/{run_id}.json', 'w').write({json.dumps(request)!r})"
    stack.execute("portal", "python3", "-c", write)
    [end] = backup.homeport("requests", "--unit", "run")
    assert (end["run"], end["exit_code"]) == (run_id, 0)
    told = stack.execute("portal", "tail", "-n", "1", f"/var/lib/homeport-backup/runs/{run_id}.jsonl")
    assert json.loads(told)["type"] == "ended"


def test_unit_that_backs_up_cannot_write_the_data(backup: Backup, point: str) -> None:
    for place in ("ssd", "hdd"):
        said = backup.run("-c", f"touch /srv/homeport/{place}/x 2>&1 || true", entrypoint="sh")
        assert "Read-only file system" in said
    with pytest.raises(ServiceFailed):
        backup.run("-c", "cat /run/secrets/mail_db_restore_password", entrypoint="sh")


def test_lost_mail_comes_back_into_the_live_mailbox(backup: Backup, owner: StackMailbox, point: str) -> None:
    kept = owner.messages()
    owner.remove_all()
    assert owner.messages() == []
    asset = f"mailbox:{owner.address}"
    plan = backup.homeport("restore", point, asset, "--in-place", "--dry-run", service="backup-restore")
    assert plan["adds"] >= 1
    end = backup.homeport("restore", point, asset, "--in-place", "--confirm", point, service="backup-restore")
    assert (end["exit_code"], end["error"]) == (0, "")
    assert end["result"]["safety_copy"].startswith("manual/")
    assert eventually(lambda: owner.messages() == kept)


def test_drill_loads_the_dump_into_a_server_of_its_own(backup: Backup, point: str) -> None:
    end = backup.homeport("drill", "database:mail/mail")
    assert (end["exit_code"], [each["ok"] for each in end["result"]["drills"]]) == (0, [True])


def test_containers_leave_nothing_behind(stack: Deployment, backup: Backup, point: str) -> None:
    assert not {"backup", "backup-restore"} & stack.states().keys()
    assert run(["docker", "images", "--quiet", "homeport/backup"]).strip()


def test_backup_knows_nothing_of_docker(backup: Backup) -> None:
    said = backup.run("-c", "ls /var/run/docker.sock 2>&1 || true", entrypoint="sh")
    assert "No such file" in said
