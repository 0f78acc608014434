"""`homeport users` and `homeport tokens`: over the admin socket of a portal that runs, and break-glass without one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.services.portal import HOMEPORT, PASSWORD, Portal

pytestmark = pytest.mark.slow  # each command is a process

FRESH_FACTOR = "this needs a fresh factor, which is asked for on a terminal"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One portal with one administrator, anna; each test makes users of its own."""
    with Portal(tmp_path_factory.mktemp("portal")) as portal:
        portal.set_up()
        yield portal


def on_a_terminal(portal: Portal, *arguments: str, answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Run `homeport ...` at a terminal; answer each prompt when it stands there. Return exit code and output."""
    keyboard, terminal = os.openpty()
    try:
        with subprocess.Popen(
            [HOMEPORT, *arguments],
            env=portal.environment,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stderr is not None
            assert process.stdout is not None
            seen = b""
            for prompt, answer in answers:
                while prompt.encode() not in seen:
                    part = os.read(process.stderr.fileno(), 1024)
                    assert part, f"no prompt {prompt!r} in {seen!r}"
                    seen += part
                seen = b""
                os.write(keyboard, answer.encode() + b"\n")
            out, err = process.communicate(timeout=60)
            return process.returncode, out.decode() + err.decode()
    finally:
        os.close(keyboard)
        os.close(terminal)


# The blank behind "Password:" is written once the terminal echoes no more; what is typed before that is lost.
CONFIRM = (("Your name in the portal", "anna"), ("Code of your authenticator", ""), ("Password: ", PASSWORD))


def listed(portal: Portal, group: str) -> list[dict[str, Any]]:
    document = json.loads(portal.run(group, "list", "--json").stdout)
    return list(document[group])


def test_users_are_listed_over_the_admin_socket(portal: Portal) -> None:
    assert ("anna", "admin") in {(user["name"], user["role"]) for user in listed(portal, "users")}
    assert portal.run("users", "list").stdout.splitlines()[0].split() == [
        "NAME",
        "ROLE",
        "FACTORS",
        "SESSIONS",
        "LAST",
        "LOGIN",
    ]


def test_user_is_not_made_without_a_terminal_to_confirm_on(portal: Portal) -> None:
    ended = portal.run("users", "create", "kenta", check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [f"homeport: error: {FRESH_FACTOR}"]
    assert "kenta" not in {user["name"] for user in listed(portal, "users")}


def test_user_is_made_changed_and_removed_by_whoever_confirms_on_the_terminal(portal: Portal) -> None:
    code, out = on_a_terminal(portal, "users", "create", "yui", "--role", "operator", answers=CONFIRM)
    assert code == 0, out
    (link,) = (line.strip() for line in out.splitlines() if "/invitation#" in line)
    token = link.partition("#")[2]
    answer = portal.browser().post("/api/invitation", json={"token": token, "password": PASSWORD})
    assert answer.json()["user"]["role"] == "operator"

    code, out = on_a_terminal(portal, "users", "change", "yui", "--role", "viewer", "--disable", answers=CONFIRM)
    assert (code, "yui: viewer, disabled." in out) == (0, True)
    code, out = on_a_terminal(portal, "users", "delete", "yui", answers=(("Type yui to remove", "yui"), *CONFIRM))
    assert (code, "yui is removed." in out) == (0, True), out
    newest = portal.audit(limit=1)[0]
    assert (newest["action"], newest["target"]) == ("cli:users:delete", "yui")
    assert newest["actor"]["name"].endswith("confirmed by anna")


def test_wrong_password_on_the_terminal_confirms_nothing(portal: Portal) -> None:
    wrong = (*CONFIRM[:2], ("Password: ", "not this one"))
    code, out = on_a_terminal(portal, "users", "create", "eve", answers=wrong)
    assert (code, "Factor refused" in out) == (1, True)
    assert "eve" not in {user["name"] for user in listed(portal, "users")}


def test_token_is_made_used_by_url_and_removed(portal: Portal) -> None:
    code, out = on_a_terminal(
        portal, "tokens", "create", "nightly", "--scope", "audit:read", "--days", "2", answers=CONFIRM
    )
    assert code == 0, out
    (secret,) = (word for word in out.split() if word.startswith("hpt_"))
    by_url = {"HOMEPORT_URL": portal.url, "HOMEPORT_TOKEN": secret}
    assert portal.run("audit", "list", environment=by_url).stdout.startswith("NUMBER")
    ended = portal.run("users", "list", check=False, environment=by_url)
    assert (ended.returncode, "Not permitted" in ended.stderr) == (1, True)
    ended = portal.run("users", "create", "eve", check=False, environment=by_url)
    assert ended.returncode == 1

    (token,) = listed(portal, "tokens")
    assert secret not in json.dumps(token)
    assert (token["owner"], token["scopes"]) == ("anna", [{"act": "audit:read", "resource": "*"}])
    code, _ = on_a_terminal(portal, "tokens", "delete", token["id"], answers=CONFIRM)
    assert code == 0
    assert portal.run("tokens", "list").stdout == "There are no tokens.\n"
    assert portal.run("audit", "list", check=False, environment=by_url).returncode == 1


class TestBreakGlass:
    @pytest.fixture
    def portal(self, tmp_path: Path) -> Iterator[Portal]:
        with Portal(tmp_path) as portal:
            yield portal

    def test_reset_gives_a_way_in_without_a_login_and_without_the_portal(self, portal: Portal) -> None:
        anna = portal.set_up()
        portal.stop()
        document = json.loads(portal.run("users", "reset", "anna", "--json").stdout)
        portal.daemon.start()
        assert anna.get("/api/account").status_code == 401
        old = {"name": "anna", "password": PASSWORD}
        assert portal.browser().post("/api/login", json=old).status_code == 401
        form = {"token": document["invitation"].partition("#")[2], "password": "another forty herons"}
        assert portal.browser().post("/api/invitation", json=form).json()["user"]["role"] == "admin"
        rows = portal.audit(action="users:change")
        assert [(row["action"], row["target"], row["detail"]) for row in rows] == [
            ("cli:users:change", "anna", "break-glass")
        ]
        assert portal.run("audit", "verify").returncode == 0

    def test_reset_while_the_portal_runs_ends_the_sessions_at_once(self, portal: Portal) -> None:
        anna = portal.set_up()
        portal.run("users", "reset", "anna")
        assert anna.get("/api/account").status_code == 401

    def test_reset_of_nobody_is_one_line(self, portal: Portal) -> None:
        ended = portal.run("users", "reset", "nobody", check=False)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == "homeport: error: No such user: There is no user nobody."

    def test_reset_before_the_schema_is_made_says_what_to_do(self, tmp_path: Path) -> None:
        portal = Portal(tmp_path)
        portal.state_dir.mkdir()
        ended = portal.run("users", "reset", "anna", check=False)
        assert (ended.returncode, "homeport portal migrate" in ended.stderr) == (1, True)
