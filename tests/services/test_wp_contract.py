"""What the broker's forms of `wp` answer: by the stand-in, and by a real wp-cli where one is to be had.

A real one is HOMEPORT_TEST_WP (a phar or a program), else `wp` of PATH; without it those cases are skipped and say so.
Command lines are made by the broker's own table, with the program under test in the place of the image's. Asserted is
what the rooms read, nothing else: exit code, fields of JSON, what standard error begins with.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from portal.broker import schemas, wp
from tests.services import wordpress
from tests.services.blog_stack import STACK
from tests.services.blog_stack import STAND_IN as STAND_IN_FILES
from tests.services.fleet import ADMIN, FORMS, GALLERY, STARTED_WITH, Fleet

STAND_IN = wp.PROGRAM
REAL = os.environ.get("HOMEPORT_TEST_WP") or shutil.which("wp")
SITE = "alder"
PASSWORD = "correct-horse-battery"
LIST = {"format": "json"}

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=[STAND_IN, REAL] if REAL else [STAND_IN], ids=["stand-in", "wp-cli"][: 2 if REAL else 1])
def program(request: pytest.FixtureRequest) -> str:
    path: str = request.param
    return path


@pytest.fixture
def ask(fleet: Fleet, program: str) -> Ask:
    """Run a form as the broker does, as the user of SITE."""

    def run(
        *command: str,
        arguments: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        stdin: str | None = None,
        url: str = f"https://{SITE}.example",
    ) -> subprocess.CompletedProcess[str]:
        request = schemas.WpCli(
            site=SITE,
            url=url,
            command=command,
            arguments=tuple(arguments),
            options=dict(options or {}),
            stdin=stdin,
            timeout_s=60,
        )
        line = wp.command_line(request, tree=f"/srv/sites/{SITE}")
        argv = [program if word == wp.PROGRAM else word for word in line.argv]
        return subprocess.run(
            [*fleet.namespaces.enter, *wordpress.run_as(fleet.site(SITE).uid, argv)],
            input=(line.stdin or b"").decode(),
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            cwd="/",
        )

    return run


@pytest.fixture
def plugin(fleet: Fleet, ask: Ask) -> Iterator[str]:
    """A plugin of this test alone, installed, not active, offered by the directory in 1.0.0."""
    name = "quay-tide"
    fleet.add_plugin_update(name, STARTED_WITH)
    fleet.add_plugin(SITE, name)
    yield name
    ask("plugin", "deactivate", arguments=[name])
    ask("plugin", "delete", arguments=[name])


def of(answer: subprocess.CompletedProcess[str]) -> Any:
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def row(answer: subprocess.CompletedProcess[str], name: str) -> Any:
    (found,) = [each for each in of(answer) if each["name"] == name]
    return found


class TestCore:
    def test_the_version_is_the_one_of_the_files(self, ask: Ask) -> None:
        assert ask("core", "version").stdout.strip() == wordpress.core_version()

    def test_a_site_with_tables_is_installed(self, ask: Ask) -> None:
        assert ask("core", "is-installed").returncode == 0

    def test_an_installed_site_is_not_installed_again(self, ask: Ask, fleet: Fleet) -> None:
        before = fleet.checksum(SITE)
        options = {"title": "Another", "admin_user": "eve", "admin_email": "eve@alder.example"}
        answer = ask("core", "install", options=options, stdin=PASSWORD)
        assert answer.returncode == 0
        assert fleet.checksum(SITE) == before

    def test_no_update_is_an_empty_list(self, ask: Ask) -> None:
        assert of(ask("core", "check-update", options=LIST)) == []

    def test_the_files_are_those_of_the_release(self, ask: Ask) -> None:
        assert ask("core", "verify-checksums").returncode == 0

    def test_a_changed_file_is_named(self, ask: Ask, fleet: Fleet) -> None:
        changed = fleet.site(SITE).public / "wp-includes" / "version.php"
        content = changed.read_text()
        changed.write_text(f"{content}\n// and more\n")
        try:
            answer = ask("core", "verify-checksums")
        finally:
            changed.write_text(content)
        assert answer.returncode == 1
        assert "File doesn't verify against checksum: wp-includes/version.php" in answer.stderr

    def test_the_database_needs_no_update(self, ask: Ask) -> None:
        assert ask("core", "update-db", options={"dry-run": ""}).returncode == 0
        assert ask("core", "update-db").returncode == 0

    def test_an_update_brings_the_version_that_is_offered(self, ask: Ask, fleet: Fleet) -> None:
        newer, was = "6.8.98", wordpress.core_version()
        fleet.add_core_update(newer)
        try:
            (offer,) = of(ask("core", "check-update", options=LIST))
            assert (offer["version"], offer["update_type"]) == (newer, "minor")
            assert ask("core", "update", options={"version": newer}).returncode == 0
            assert ask("core", "version").stdout.strip() == newer
            assert fleet.page(SITE)[0] == 200
        finally:
            fleet.add_core_update(was)
            ask("core", "update", options={"version": was, "force": ""})
        assert ask("core", "version").stdout.strip() == was


class TestPlugins:
    def test_each_has_its_state_and_its_version(self, ask: Ask) -> None:
        fields = {"fields": "name,status,update,version,update_version,auto_update", **LIST}
        answer = ask("plugin", "list", options=fields)
        assert row(answer, FORMS) == {
            "name": FORMS,
            "status": "active",
            "update": "none",
            "version": STARTED_WITH,
            "update_version": "",
            "auto_update": "off",
        }
        assert row(answer, GALLERY)["status"] == "inactive"

    def test_they_are_counted(self, ask: Ask) -> None:
        count = ask("plugin", "list", options={"format": "count"}).stdout
        assert int(count) == len(of(ask("plugin", "list", options=LIST)))

    def test_one_is_activated_and_deactivated(self, ask: Ask, plugin: str) -> None:
        assert ask("plugin", "activate", arguments=[plugin]).returncode == 0
        assert row(ask("plugin", "list", options=LIST), plugin)["status"] == "active"
        assert ask("plugin", "deactivate", arguments=[plugin]).returncode == 0
        assert row(ask("plugin", "list", options=LIST), plugin)["status"] == "inactive"

    def test_what_is_active_already_is_no_failure(self, ask: Ask) -> None:
        answer = ask("plugin", "activate", arguments=[FORMS])
        assert answer.returncode == 0
        assert answer.stderr.startswith("Warning: ")

    def test_one_with_commands_of_its_own_is_activated(self, ask: Ask) -> None:
        assert ask("plugin", "activate", arguments=["akismet"]).returncode == 0
        assert row(ask("plugin", "list", options=LIST), "akismet")["status"] == "active"
        assert ask("plugin", "deactivate", arguments=["akismet"]).returncode == 0

    def test_one_that_is_not_there_is_an_error(self, ask: Ask) -> None:
        answer = ask("plugin", "activate", arguments=["nobody-has-this"])
        assert answer.returncode == 1
        assert "Error: " in answer.stderr

    def test_one_that_dies_is_not_activated(self, ask: Ask, fleet: Fleet, plugin: str) -> None:
        fleet.add_plugin(SITE, plugin, how="fatal")
        assert ask("plugin", "activate", arguments=[plugin]).returncode != 0
        assert row(ask("plugin", "list", options=LIST), plugin)["status"] == "inactive"

    def test_an_update_says_from_where_to_where(self, ask: Ask, fleet: Fleet, plugin: str) -> None:
        fleet.add_plugin_update(plugin, "1.1.0")
        seen = row(ask("plugin", "list", options=LIST), plugin)
        assert (seen["update"], seen["update_version"]) == ("available", "1.1.0")
        assert row(ask("plugin", "update", arguments=[plugin], options=LIST), plugin) == {
            "name": plugin,
            "old_version": STARTED_WITH,
            "new_version": "1.1.0",
            "status": "Updated",
        }
        assert row(ask("plugin", "list", options=LIST), plugin)["update"] == "none"

    def test_an_older_version_is_had_by_its_number(self, ask: Ask, fleet: Fleet, plugin: str) -> None:
        fleet.add_plugin_update(plugin, "1.1.0")
        ask("plugin", "update", arguments=[plugin], options=LIST)
        options = {"version": STARTED_WITH, "force": ""}
        assert ask("plugin", "install", arguments=[plugin], options=options).returncode == 0
        assert row(ask("plugin", "list", options=LIST), plugin)["version"] == STARTED_WITH

    def test_an_update_that_cannot_be_had_changes_nothing(self, ask: Ask, fleet: Fleet, plugin: str) -> None:
        answer = ask("plugin", "update", arguments=[plugin], options={"version": "9.9.9", **LIST})
        assert answer.returncode == 1
        assert row(ask("plugin", "list", options=LIST), plugin)["version"] == STARTED_WITH

    def test_one_is_installed_from_the_directory_and_deleted(self, ask: Ask, fleet: Fleet) -> None:
        fleet.add_plugin_update("quay-ferry", "2.0.0")
        assert ask("plugin", "install", arguments=["quay-ferry"]).returncode == 0
        assert row(ask("plugin", "list", options=LIST), "quay-ferry")["version"] == "2.0.0"
        assert ask("plugin", "delete", arguments=["quay-ferry"]).returncode == 0
        assert not (fleet.site(SITE).public / "wp-content/plugins/quay-ferry").exists()

    def test_one_is_installed_from_a_package(self, ask: Ask, fleet: Fleet) -> None:
        name = fleet.put_package("quay-buoy", "3.0.0")
        assert ask("plugin", "install", arguments=[name]).returncode == 0
        assert row(ask("plugin", "list", options=LIST), "quay-buoy")["version"] == "3.0.0"
        ask("plugin", "delete", arguments=["quay-buoy"])

    def test_one_that_nobody_offers_is_an_error(self, ask: Ask) -> None:
        answer = ask("plugin", "install", arguments=["nobody-has-this"])
        assert answer.returncode == 1
        assert "Error: " in answer.stderr

    def test_a_changed_file_is_found(self, ask: Ask, fleet: Fleet, plugin: str) -> None:
        assert ask("plugin", "verify-checksums", arguments=[plugin], options=LIST).returncode == 0
        fleet.add_plugin(SITE, plugin, how="slow")
        answer = ask("plugin", "verify-checksums", arguments=[plugin], options=LIST)
        assert answer.returncode == 1
        (found,) = json.loads(answer.stdout)
        assert (found["plugin_name"], found["file"]) == (plugin, f"{plugin}.php")

    def test_a_site_that_dies_is_still_reached_without_its_plugins(self, ask: Ask, fleet: Fleet) -> None:
        fleet.break_plugin(SITE, FORMS, "fatal")
        try:
            assert ask("plugin", "list", options=LIST).returncode != 0
            listed = ask("plugin", "list", options={"skip-plugins": "", "skip-themes": "", **LIST})
            assert row(listed, FORMS)["status"] == "active"
            assert ask("plugin", "deactivate", arguments=[FORMS], options={"skip-plugins": ""}).returncode == 0
            assert fleet.page(SITE)[0] == 200
        finally:
            fleet.add_plugin(SITE, FORMS)
            ask("plugin", "activate", arguments=[FORMS])


class TestThemes:
    def test_one_is_active(self, ask: Ask) -> None:
        listed = of(ask("theme", "list", options=LIST))
        assert {each["name"]: each["status"] for each in listed} == {
            "twentytwentyfive": "active",
            "twentytwentyfour": "inactive",
        }

    def test_another_one_is_activated(self, ask: Ask) -> None:
        assert ask("theme", "activate", arguments=["twentytwentyfour"]).returncode == 0
        assert row(ask("theme", "list", options=LIST), "twentytwentyfour")["status"] == "active"
        assert ask("theme", "activate", arguments=["twentytwentyfive"]).returncode == 0

    def test_one_is_installed_updated_and_deleted(self, ask: Ask, fleet: Fleet) -> None:
        fleet.add_theme_update("quay-sand", "1.0.0")
        assert ask("theme", "install", arguments=["quay-sand"]).returncode == 0
        fleet.add_theme_update("quay-sand", "1.1.0")
        updated = row(ask("theme", "update", arguments=["quay-sand"], options=LIST), "quay-sand")
        assert (updated["old_version"], updated["new_version"]) == ("1.0.0", "1.1.0")
        assert ask("theme", "delete", arguments=["quay-sand"]).returncode == 0
        assert not (fleet.site(SITE).public / "wp-content/themes/quay-sand").exists()

    def test_the_active_one_is_not_deleted(self, ask: Ask, fleet: Fleet) -> None:
        ask("theme", "delete", arguments=["twentytwentyfive"])
        assert (fleet.site(SITE).public / "wp-content/themes/twentytwentyfive/style.css").exists()


class TestContent:
    def test_an_option_is_read_back_as_it_was_written(self, ask: Ask) -> None:
        for value in ("A plain name", "日本語の題名", "two  spaces"):
            assert ask("option", "update", arguments=["blogname", value]).returncode == 0
            assert of(ask("option", "get", arguments=["blogname"], options=LIST)) == value
        assert ask("option", "update", arguments=["blogname", "two  spaces"]).returncode == 0

    def test_users_have_their_roles(self, ask: Ask) -> None:
        fields = "ID,user_login,user_email,roles"
        (user,) = of(ask("user", "list", options={"fields": fields, **LIST}))
        assert user == {
            "ID": 1,
            "user_login": ADMIN,
            "user_email": f"{ADMIN}@{SITE}.example",
            "roles": "administrator",
        }

    def test_a_password_comes_by_standard_input(self, ask: Ask, fleet: Fleet) -> None:
        ((before,),) = fleet.query(SITE, "SELECT user_pass FROM wp_users WHERE ID = 1")
        assert ask("user", "update", arguments=["1"], stdin=PASSWORD).returncode == 0
        ((after,),) = fleet.query(SITE, "SELECT user_pass FROM wp_users WHERE ID = 1")
        assert before != after
        check = CHECK_PASSWORD.replace("PASSWORD", PASSWORD)
        assert subprocess.run(["php", "-r", check, str(after)], check=False).returncode == 0

    def test_no_such_user_is_an_error(self, ask: Ask) -> None:
        answer = ask("user", "update", arguments=["999"], stdin=PASSWORD)
        assert answer.returncode == 1
        assert "Error: " in answer.stderr

    def test_due_events_run(self, ask: Ask) -> None:
        assert {"hook", "next_run_gmt", "recurrence"} <= of(ask("cron", "event", "list", options=LIST))[0].keys()
        assert ask("cron", "event", "run").returncode == 0

    def test_caches_and_rules_are_flushed(self, ask: Ask) -> None:
        assert ask("cache", "flush").returncode == 0
        assert ask("rewrite", "flush").returncode == 0

    def test_translations_are_looked_for(self, ask: Ask) -> None:
        assert ask("language", "core", "update").returncode == 0
        assert ask("language", "plugin", "update", options={"all": ""}).returncode == 0

    def test_maintenance_is_switched_on_and_off(self, ask: Ask, fleet: Fleet) -> None:
        assert "not active" in ask("maintenance-mode", "status").stdout
        assert ask("maintenance-mode", "activate").returncode == 0
        assert fleet.page(SITE)[0] == 503
        assert "is active" in ask("maintenance-mode", "status").stdout
        assert ask("maintenance-mode", "activate").returncode == 1
        assert ask("maintenance-mode", "deactivate").returncode == 0
        assert fleet.page(SITE)[0] == 200


class TestSearchReplace:
    OPTIONS: Mapping[str, str] = {"all-tables-with-prefix": "", "report-changed-only": "", "skip-columns": "guid"}

    def test_a_dry_run_counts_by_table_and_changes_nothing(self, ask: Ask, fleet: Fleet) -> None:
        before = fleet.checksum(SITE)
        answer = ask(
            "search-replace",
            arguments=["https://alder.example", "https://new.example"],
            options={"dry-run": "", **self.OPTIONS},
        )
        assert answer.returncode == 0
        head, *rows = [line.split("\t") for line in answer.stdout.splitlines() if "\t" in line]
        assert head == ["Table", "Column", "Replacements", "Type"]
        assert ["wp_options", "option_value"] in [each[:2] for each in rows]
        assert fleet.checksum(SITE) == before

    def test_lengths_inside_serialized_values_stay_right(self, ask: Ask, fleet: Fleet) -> None:
        value = 'a:2:{s:4:"link";s:15:"https://old.tld";s:5:"inner";a:1:{i:0;s:16:"https://old.tld/";}}'
        fleet.query(SITE, "INSERT INTO wp_options (option_name, option_value) VALUES ('quay', %s)", value)
        try:
            options = {"precise": "", **self.OPTIONS}
            answer = ask("search-replace", arguments=["https://old.tld", "https://longer.example"], options=options)
            assert answer.returncode == 0
            ((changed,),) = fleet.query(SITE, "SELECT option_value FROM wp_options WHERE option_name = 'quay'")
        finally:
            fleet.query(SITE, "DELETE FROM wp_options WHERE option_name = 'quay'")
        assert (
            changed
            == 'a:2:{s:4:"link";s:22:"https://longer.example";s:5:"inner";a:1:{i:0;s:23:"https://longer.example/";}}'
        )

    def test_a_count_is_a_number(self, ask: Ask) -> None:
        options = {"dry-run": "", "format": "count"}
        assert int(ask("search-replace", arguments=["nobody-wrote-this", "x"], options=options).stdout) == 0


class TestMailTest:
    def test_a_message_that_is_not_sent_is_an_error_in_a_line(self, ask: Ask) -> None:
        answer = ask("homeport", "mail-test", options={"to": "somebody@example.com", "id": "0" * 32})
        assert answer.returncode == 1
        assert answer.stderr.count("\n") == 1
        assert answer.stderr.startswith("Error: The message was not sent: ")


class TestInventory:
    def test_it_has_what_the_room_reads(self, ask: Ask, fleet: Fleet) -> None:
        found = of(ask("homeport", "inventory"))
        assert found["errors"] == []
        assert found["url"] == f"https://{SITE}.example"
        assert found["core"]["version"] == wordpress.core_version()
        assert found["core"]["needs_db_update"] is False
        states = {each["name"]: each["state"] for each in found["plugins"]}
        assert (states[FORMS], states[GALLERY], states["object-cache.php"]) == ("active", "inactive", "dropin")
        assert {each["name"] for each in found["themes"] if each["state"] == "active"} == {"twentytwentyfive"}
        assert [(each["login"], each["roles"]) for each in found["users"]] == [(ADMIN, ["administrator"])]
        assert found["object_cache"] is True
        assert found["maintenance"] is False
        assert found["cron"]["events"] > 0
        assert min(found["database_bytes"], found["autoload_bytes"], found["site_bytes"]) > 0

    def test_it_has_no_secret_and_no_address(self, ask: Ask, fleet: Fleet) -> None:
        site, text = fleet.site(SITE), ask("homeport", "inventory").stdout
        salts = (site.tree / "private" / "wp-salts.php").read_text().split("'")[3::4]
        (stored,) = fleet.query(SITE, "SELECT user_pass FROM wp_users WHERE ID = 1")
        assert len(salts) == 8
        for secret in (site.password, site.redis_password, site.admin_password, str(stored[0]), *salts, "@"):
            assert secret not in text

    def test_updates_and_logins_are_in_it(self, ask: Ask, fleet: Fleet) -> None:
        fleet.add_plugin_update(GALLERY, "1.4.0")
        session = 'a:1:{s:4:"hash";a:2:{s:10:"expiration";i:4102444800;s:5:"login";i:1767225600;}}'
        fleet.query(
            SITE, "INSERT INTO wp_usermeta (user_id, meta_key, meta_value) VALUES (1, 'session_tokens', %s)", session
        )
        fleet.flush_cache(SITE)
        try:
            found = of(ask("homeport", "inventory"))
        finally:
            fleet.query(SITE, "DELETE FROM wp_usermeta WHERE meta_key = 'session_tokens'")
            fleet.updates.offer("plugin", GALLERY, STARTED_WITH)
            fleet.forget_update_checks()
        assert {each["name"]: each["update_version"] for each in found["plugins"]}[GALLERY] == "1.4.0"
        assert found["users"][0]["last_login_at"] == "2026-01-01T00:00:00Z"

    def test_a_site_that_dies_is_read_without_its_plugins(self, ask: Ask, fleet: Fleet) -> None:
        fleet.break_plugin(SITE, FORMS, "unparsable")
        try:
            assert ask("homeport", "inventory").returncode != 0
            found = of(ask("homeport", "inventory", options={"skip-plugins": "", "skip-themes": ""}))
        finally:
            fleet.add_plugin(SITE, FORMS)
        assert {each["name"]: each["state"] for each in found["plugins"]}[FORMS] == "active"
        assert {each["name"] for each in found["themes"] if each["state"] == "active"} == {"twentytwentyfive"}


def test_a_real_wp_was_asked_too() -> None:
    if REAL is None:
        pytest.skip("this suite ran against the stand-in alone: neither HOMEPORT_TEST_WP nor a `wp` in PATH")


class TestRefusals:
    @pytest.mark.parametrize(
        "command", [("db", "drop"), ("eval", "1;"), ("shell",), ("config", "get"), ("package", "list")]
    )
    def test_the_stand_in_has_no_other_subcommands(self, fleet: Fleet, command: tuple[str, ...]) -> None:
        answer = fleet.wp(SITE, *command, check=False)
        assert answer.returncode == 1
        assert answer.stderr.startswith("Error: ")

    def test_a_database_that_does_not_answer_is_an_error_in_a_line(self, ask: Ask, fleet: Fleet) -> None:
        fleet.mariadb.execute(f"ALTER USER {fleet.site(SITE).account}@'%' ACCOUNT LOCK")
        try:
            answer = ask("plugin", "list", options=LIST)
        finally:
            fleet.mariadb.execute(f"ALTER USER {fleet.site(SITE).account}@'%' ACCOUNT UNLOCK")
        assert answer.returncode == 1
        assert "Error: Error establishing a database connection" in answer.stderr

    def test_the_stand_in_knows_the_broker_s_list_and_nothing_more(self, fleet: Fleet) -> None:
        shown = subprocess.run(
            ["php", "-r", LIST_OF_COMMANDS, str(STAND_IN_FILES), str(STACK / "php" / "homeport-command.php")],
            capture_output=True,
            text=True,
            check=True,
        )
        known = {tuple(line.split()) for line in shown.stdout.splitlines()}
        assert known == set(wp.ALLOWED)


# wp-includes/pluggable.php, wp_check_password()
CHECK_PASSWORD = """
$hashed = base64_encode(hash_hmac("sha384", "PASSWORD", "wp-sha384", true));
exit(password_verify($hashed, substr($argv[1], 3)) ? 0 : 1);
"""
LIST_OF_COMMANDS = """
foreach (["cli", "runner", "core", "extensions", "content", "search_replace"] as $part) {
    require "$argv[1]/$part.php";
}
require $argv[2];
echo implode("\\n", array_keys(WP_CLI::$commands)), "\\n";
"""
