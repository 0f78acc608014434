"""`homeport edge plan` and `deploy`: in an empty account, in an old one, and among somebody else's things."""

from __future__ import annotations

import json
import stat
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.email_routing import required_records
from tests.fakes.cloudflare.state import Address, Bucket, Module, Namespace, Record, Rule, Script
from tests.portal.conftest import HOME, TWO, WORKER, Edge, seen

NAME, BUCKET, NAMESPACE = "homeport-mail", "homeport-mail-retained", "homeport-mail-recipients"
TO_WORKER = [{"type": "worker", "value": [NAME]}]
CLOUDFLARE_MX = [f"route{number}.mx.cloudflare.net" for number in (1, 2, 3)]


def values_of(edge: Edge, kind: str = "plain_text") -> dict[str, str]:
    bindings = edge.cf.state.scripts[NAME].bindings
    return {binding["name"]: binding["text"] for binding in bindings if binding["type"] == kind}


def mx(edge: Edge) -> list[str]:
    return [record.content for record in edge.zone.records if record.type == "MX" and record.name == HOME]


class TestEmptyAccount:
    def test_plan_shows_everything_and_changes_nothing(self, edge: Edge, cf: CloudflareFake) -> None:
        ended = edge.run("plan", "--json")
        assert ended.code == 0
        kinds = [step["kind"] for step in ended.document["plan"]["steps"]]
        assert kinds == [
            *("bucket", "namespace", "worker", "route", "cron", "catch-all"),
            *(["record"] * 4),
            "routing",
        ]
        assert not cf.writes
        assert not (edge.state_dir / "edge.json").exists()

    def test_deploy_makes_a_working_edge(self, edge: Edge, cf: CloudflareFake) -> None:
        secret = edge.new_key()
        edge.deploy()
        script = cf.state.scripts[NAME]
        assert script.modules["worker.js"].data == WORKER
        assert script.compatibility_date == "2026-07-01"
        assert script.compatibility_flags == []
        assert script.crons == ["* * * * *"]
        assert script.subdomain_enabled
        assert script.binding("RETAINED") == {"name": "RETAINED", "type": "r2_bucket", "bucket_name": BUCKET}
        assert script.binding("RECIPIENTS")["namespace_id"] == cf.state.namespace(NAMESPACE).id
        key_file = edge.state_dir / "edge-recipients.key"
        assert script.secrets == {"MAIL_API_KEY": secret, "RECIPIENTS_KEY": key_file.read_text().strip()}
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        values = values_of(edge)
        assert values.pop("WORKER_VERSION") in {tag.removeprefix("version-") for tag in script.tags}
        assert values == {
            "MAIL_API_URL": "https://mail-api.home.example",
            "MAIL_API_KEY_ID": f"k-{secret[:6]}",
            "WATCHDOG_MINUTES": "5",
            "RECIPIENTS_MAX_AGE_S": "86400",
            "POISON_LIMIT": "10",
            "SUBREQUESTS": "50",
        }
        assert edge.zone.routing.enabled
        assert (edge.zone.routing.catch_all.actions, edge.zone.routing.catch_all.enabled) == (TO_WORKER, True)
        assert mx(edge) == CLOUDFLARE_MX
        assert "include:_spf.mx.cloudflare.net" in edge.zone.record("TXT").content
        comment = f"homeport-edge-{edge.record['installation']}"
        assert {record.comment for record in edge.zone.records} == {comment}
        assert comment in script.tags

    def test_second_deploy_writes_nothing(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.deploy()
        before, record = len(cf.writes), edge.record
        ended = edge.deploy()
        assert ended.out == "Nothing to change.\n"
        assert len(cf.writes) == before
        assert edge.record == record
        planned = edge.run("plan")
        assert (planned.code, planned.out.splitlines()[-1]) == (0, "Nothing to change.")
        assert edge.run("deploy", "--yes", "--json").document["plan"]["steps"] == []

    def test_account_without_a_workers_dev_subdomain_gets_one(self, edge: Edge, cf: CloudflareFake) -> None:
        cf.state.subdomain = None
        edge.deploy()
        assert edge.cf.state.subdomain == f"homeport-{edge.record['installation']}"
        assert cf.state.scripts[NAME].subdomain_enabled

    def test_worker_with_an_address_of_its_own_gets_none_under_workers_dev(
        self, edge: Edge, cf: CloudflareFake
    ) -> None:
        cf.state.subdomain = None
        edge.settings["edge_worker_url"] = "https://edge.home.example"
        edge.deploy()
        assert cf.state.subdomain is None
        assert not cf.state.scripts[NAME].subdomain_enabled

    def test_several_zones_and_addresses(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.settings |= {"edge_zones": f"{HOME}, {TWO}", "edge_addresses": f"Bob@{HOME},alice@{TWO}"}
        edge.deploy()
        for zone, address in ((HOME, "bob@home.example"), (TWO, "alice@two.example")):
            routing = cf.state.zones[zone].routing
            [rule] = routing.rules
            assert rule.matchers == [{"type": "literal", "field": "to", "value": address}]
            assert (rule.actions, rule.enabled, routing.catch_all.enabled) == (TO_WORKER, True, False)
        assert edge.deploy().out == "Nothing to change.\n"

    def test_optional_settings_reach_the_worker(self, edge: Edge, cf: CloudflareFake) -> None:
        cf.state.addresses.append(Address("me@elsewhere.example", verified="2026-11-01T00:00:00Z"))
        edge.settings |= {
            "edge_alert_webhook": "https://alerts.elsewhere.example/hook/canary",
            "edge_alert_mail_from": f"edge@{HOME}",
            "edge_alert_mail_to": "me@elsewhere.example",
            "edge_access_client_id": "canary.access",
            "edge_access_client_secret": "canary-access-secret",
            "edge_watchdog_minutes": "7",
            "edge_subrequests": "10000",
        }
        edge.deploy()
        script = cf.state.scripts[NAME]
        assert script.secrets["ALERT_WEBHOOK"] == "https://alerts.elsewhere.example/hook/canary"
        assert script.secrets["ACCESS_CLIENT_ID"] == "canary.access"
        assert script.secrets["ACCESS_CLIENT_SECRET"] == "canary-access-secret"
        assert script.binding("ALERT_MAIL")["destination_address"] == "me@elsewhere.example"
        values = values_of(edge)
        assert (values["WATCHDOG_MINUTES"], values["SUBREQUESTS"]) == ("7", "10000")
        assert (values["ALERT_MAIL_FROM"], values["ALERT_MAIL_TO"]) == (f"edge@{HOME}", "me@elsewhere.example")
        assert edge.deploy().out == "Nothing to change.\n"

    def test_without_a_terminal_and_without_yes_nothing_is_done(self, edge: Edge, cf: CloudflareFake) -> None:
        ended = edge.run("deploy")
        assert ended.code == 1
        assert "--yes" in ended.error
        assert "create bucket" in ended.out
        assert not cf.writes

    def test_rule_waits_for_email_routing_to_hear_of_the_worker(self, edge: Edge, cf: CloudflareFake) -> None:
        cf.state.routing_blind_to[NAME] = 1
        ended = edge.deploy()
        assert "Email Routing does not know the Worker yet" in ended.err
        assert edge.zone.routing.catch_all.actions == TO_WORKER

    def test_r2_that_was_never_opened_is_said(self, edge: Edge, cf: CloudflareFake) -> None:
        cf.state.r2_enabled = False
        ended = edge.run("plan")
        assert ended.code == 1
        assert "Please enable R2 through the Cloudflare Dashboard" in ended.error
        assert "token lacks" not in ended.error


class TestChanges:
    @pytest.fixture(autouse=True)
    def deployed(self, edge: Edge) -> None:
        edge.deploy()

    def reasons(self, edge: Edge) -> dict[str, str]:
        steps = edge.run("plan", "--json").document["plan"]["steps"]
        return {step["kind"]: step["reason"] for step in steps}

    def test_new_worker_is_uploaded(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.worker_file.write_bytes(WORKER + b"// newer\n")
        reason = self.reasons(edge)["worker"]
        assert "the built Worker is another one" in reason
        edge.deploy()
        assert cf.state.scripts[NAME].modules["worker.js"].data.endswith(b"// newer\n")
        assert edge.deploy().out == "Nothing to change.\n"

    def test_new_signing_key_is_noticed_and_uploaded(self, edge: Edge, cf: CloudflareFake) -> None:
        secret = edge.new_key()
        assert "MAIL_API_KEY is new or was changed" in self.reasons(edge)["worker"]
        edge.deploy()
        assert cf.state.scripts[NAME].secrets["MAIL_API_KEY"] == secret
        assert edge.deploy().out == "Nothing to change.\n"

    def test_changed_and_removed_settings_are_uploaded(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.settings |= {"edge_poison_limit": "3", "edge_alert_webhook": "https://alerts.elsewhere.example/hook"}
        assert "ALERT_WEBHOOK is missing; POISON_LIMIT is another" in self.reasons(edge)["worker"]
        edge.deploy()
        del edge.settings["edge_alert_webhook"]
        assert "ALERT_WEBHOOK is too much" in self.reasons(edge)["worker"]
        edge.deploy()
        assert "ALERT_WEBHOOK" not in cf.state.scripts[NAME].secrets
        assert edge.deploy().out == "Nothing to change.\n"

    def test_what_others_changed_is_put_right(self, edge: Edge, cf: CloudflareFake) -> None:
        script = cf.state.scripts[NAME]
        script.crons, script.subdomain_enabled = ["0 * * * *"], False
        edge.zone.routing.catch_all.enabled = False
        edge.zone.records = [record for record in edge.zone.records if record.type != "TXT"]
        before = seen(cf)
        assert set(self.reasons(edge)) == {"cron", "route", "catch-all", "record"}
        edge.deploy()
        assert seen(cf) != before
        assert (script.crons, script.subdomain_enabled) == (["* * * * *"], True)
        assert edge.zone.routing.catch_all.enabled
        assert edge.deploy().out == "Nothing to change.\n"

    def test_removed_worker_is_made_again(self, edge: Edge, cf: CloudflareFake) -> None:
        del cf.state.scripts[NAME]
        edge.deploy()
        assert NAME in cf.state.scripts
        assert edge.deploy().out == "Nothing to change.\n"

    def test_addresses_instead_of_the_catch_all_and_back(self, edge: Edge) -> None:
        edge.settings["edge_addresses"] = f"bob@{HOME},alice@{HOME}"
        edge.deploy()
        routing = edge.zone.routing
        assert (len(routing.rules), routing.catch_all.enabled) == (2, False)
        edge.settings["edge_addresses"] = f"alice@{HOME}"
        edge.deploy()
        assert [rule.matchers[0]["value"] for rule in routing.rules] == [f"alice@{HOME}"]
        del edge.settings["edge_addresses"]
        edge.deploy()
        assert (routing.rules, routing.catch_all.enabled) == ([], True)
        assert edge.deploy().out == "Nothing to change.\n"

    def test_lost_recipients_key_stops_everything(self, edge: Edge, cf: CloudflareFake) -> None:
        (edge.state_dir / "edge-recipients.key").unlink()
        before = len(cf.writes)
        for command in (["plan"], ["deploy", "--yes"]):
            ended = edge.run(*command)
            assert ended.code == 1
            assert "restore it from a backup" in ended.error
        assert len(cf.writes) == before

    def test_another_name_needs_a_destroy_first(self, edge: Edge) -> None:
        edge.settings["edge_name"] = "other"
        ended = edge.run("deploy", "--yes")
        assert ended.code == 1
        assert "give back the former name" in ended.error

    def test_zone_that_is_no_longer_configured_is_left_with_a_note(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.settings["edge_zones"] = TWO
        assert f"{HOME} is no longer configured" in edge.run("plan").out
        edge.deploy()
        assert edge.zone.routing.catch_all.enabled


class TestForeignThings:
    def test_worker_of_another_homeport_is_told_as_that(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.deploy()
        edge.settings["state_dir"] = str(edge.directory / "of-the-portal")
        ended = edge.run("deploy", "--yes")
        assert ended.code == 1
        assert "the tag of another Homeport: with that one's HOMEPORT_PORTAL_STATE_DIR it is ours" in ended.error

    @pytest.mark.parametrize("kind", ["bucket", "namespace", "worker"])
    def test_thing_of_our_name_is_a_conflict_unless_adopted(self, edge: Edge, cf: CloudflareFake, kind: str) -> None:
        state = cf.state
        if kind == "bucket":
            state.buckets[BUCKET] = Bucket(BUCKET)
        elif kind == "namespace":
            state.namespaces.append(Namespace(NAMESPACE))
        else:
            modules = {"x.js": Module("application/javascript+module", b"export default {}")}
            state.scripts[NAME] = Script(NAME, "x.js", modules)
        ended = edge.run("deploy", "--yes")
        assert ended.code == 1
        assert f"the {kind} {NAME}" in ended.error
        assert "HOMEPORT_PORTAL_EDGE_NAME" in ended.error
        assert "--adopt" in ended.error
        assert not cf.writes
        edge.deploy("--adopt")
        assert edge.deploy().out == "Nothing to change.\n"
        edge.destroy()
        left = {"bucket": state.buckets, "namespace": state.namespaces, "worker": state.scripts}
        stays = ["bucket", "namespace", "worker"] if kind == "worker" else [kind]  # a Worker keeps what it is bound to
        assert [name for name, things in left.items() if things] == stays
        state.scripts.clear()
        edge.destroy()
        assert [name for name, things in left.items() if things] == [each for each in [kind] if each != "worker"]

    def test_bucket_that_was_there_before_a_crash_is_not_ours(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.cf.fail("POST", "/r2/buckets$", "reset")
        assert edge.run("deploy", "--yes").code == 1
        cf.state.buckets[BUCKET] = Bucket(BUCKET, creation_date="2026-01-01T00:00:00Z")
        ended = edge.run("deploy", "--yes")
        assert ended.code == 1
        assert f"the bucket {BUCKET} exists" in ended.error

    def test_name_that_was_taken_between_plan_and_act_is_not_ours(self, edge: Edge, cf: CloudflareFake) -> None:
        cf.fail("POST", "/r2/buckets$", 409, code=10004, message="The bucket you tried to create already exists")
        ended = edge.run("deploy", "--yes")
        assert ended.code == 1
        assert "already exists" in ended.error
        assert edge.record["things"] == []

    def test_mx_of_another_server_is_a_conflict_and_comes_back(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.zone.records += [
            Record("MX", HOME, "mail.provider.example", priority=0, ttl=3600, comment="the old one", tags=["a:b"]),
            Record("MX", f"lists.{HOME}", "lists.provider.example", priority=10),
            Record("A", f"www.{HOME}", "192.0.2.1", proxied=True),
        ]
        before = seen(cf)
        planned = edge.run("plan")
        assert planned.code == 1
        assert "mail to home.example goes to another server: 0 mail.provider.example" in planned.error
        assert "--replace-mail" in planned.error
        assert edge.run("deploy", "--yes").code == 1
        assert not cf.writes
        edge.deploy("--replace-mail")
        assert mx(edge) == CLOUDFLARE_MX
        assert edge.deploy().out == "Nothing to change.\n"
        edge.destroy()
        assert seen(cf) == before
        assert edge.zone.record("MX").tags == ["a:b"]

    @pytest.mark.parametrize(
        ("present", "merged"),
        [
            ("v=spf1 -all", "v=spf1 include:_spf.mx.cloudflare.net -all"),
            (
                '"v=spf1 include:sendgrid.net a:mail.home.example ~all"',
                "v=spf1 include:sendgrid.net a:mail.home.example include:_spf.mx.cloudflare.net ~all",
            ),
            (
                "v=spf1 mx redirect=_spf.provider.example",
                "v=spf1 mx include:_spf.mx.cloudflare.net redirect=_spf.provider.example",
            ),
            ("v=spf1", "v=spf1 include:_spf.mx.cloudflare.net"),
        ],
    )
    def test_spf_is_merged_and_comes_back(self, edge: Edge, cf: CloudflareFake, present: str, merged: str) -> None:
        edge.zone.records.append(Record("TXT", HOME, present, comment="ours since 2019"))
        edge.zone.records.append(Record("TXT", HOME, "google-site-verification=x"))
        before = seen(cf)
        edge.deploy()
        contents = [record.content for record in edge.zone.records if record.type == "TXT"]
        assert contents == [merged, "google-site-verification=x"]
        assert edge.zone.records[0].comment == "ours since 2019"
        assert edge.deploy().out == "Nothing to change.\n"
        edge.destroy()
        assert seen(cf) == before

    def test_spf_that_already_names_cloudflare_is_left_alone(self, edge: Edge) -> None:
        content = '"v=spf1 INCLUDE:_spf.mx.cloudflare.net include:sendgrid.net -all"'
        edge.zone.records.append(Record("TXT", HOME, content))
        kinds = [step["kind"] for step in edge.run("plan", "--json").document["plan"]["steps"]]
        assert kinds.count("record") == 3
        assert "merged-record" not in kinds

    def test_two_spf_records_need_a_person(self, edge: Edge, cf: CloudflareFake) -> None:
        edge.zone.records += [Record("TXT", HOME, "v=spf1 a -all"), Record("TXT", HOME, "v=spf1 mx -all")]
        ended = edge.run("deploy", "--yes", "--replace-mail")
        assert ended.code == 1
        assert "home.example has 2 SPF records" in ended.error
        assert not cf.writes

    @pytest.fixture
    def forwarding(self, edge: Edge, cf: CloudflareFake) -> Any:
        """A zone whose mail Email Routing forwards already."""
        edge.deploy()
        edge.destroy()
        cf.state.addresses.append(Address("me@elsewhere.example", verified="2026-11-01T00:00:00Z"))
        routing = edge.zone.routing
        routing.enabled = True
        edge.zone.records += [Record("MX", HOME, host, priority=1, is_locked=True) for host in CLOUDFLARE_MX]
        edge.zone.records.append(Record("TXT", HOME, "v=spf1 include:_spf.mx.cloudflare.net ~all", is_locked=True))
        forward = [{"type": "forward", "value": ["me@elsewhere.example"]}]
        routing.catch_all.actions, routing.catch_all.enabled, routing.catch_all.name = forward, True, "mine"
        matchers = [{"type": "literal", "field": "to", "value": f"bob@{HOME}"}]
        routing.rules.append(Rule(matchers, forward, name="bob's", priority=4))
        return routing

    def test_foreign_catch_all_is_a_conflict_and_comes_back(
        self, edge: Edge, cf: CloudflareFake, forwarding: Any
    ) -> None:
        before = seen(cf)
        ended = edge.run("plan")
        assert ended.code == 1
        assert "every address -> forward me@elsewhere.example" in ended.error
        assert f"bob@{HOME} -> forward me@elsewhere.example" in ended.out
        writes = len(cf.writes)
        assert edge.run("deploy", "--yes").code == 1
        assert len(cf.writes) == writes
        edge.deploy("--replace-mail")
        assert (forwarding.catch_all.actions, forwarding.rules[0].actions) == (TO_WORKER, TO_WORKER)
        assert edge.deploy().out == "Nothing to change.\n"
        edge.destroy()
        assert seen(cf) == before
        assert (forwarding.catch_all.name, forwarding.rules[0].name) == ("mine", "bob's")

    def test_foreign_rule_for_an_address_is_a_conflict(self, edge: Edge, cf: CloudflareFake, forwarding: Any) -> None:
        edge.settings["edge_addresses"] = f"bob@{HOME}"
        before = seen(cf)
        ended = edge.run("deploy", "--yes")
        assert ended.code == 1
        assert f"mail to bob@{HOME} goes elsewhere" in ended.error
        edge.deploy("--replace-mail")
        assert forwarding.rules[0].actions == TO_WORKER
        assert forwarding.catch_all.actions != TO_WORKER
        edge.destroy()
        assert seen(cf) == before

    def test_foreign_rule_beside_our_catch_all_is_only_noted(
        self, edge: Edge, cf: CloudflareFake, forwarding: Any
    ) -> None:
        forwarding.catch_all.enabled = False
        ended = edge.deploy()
        assert f"stays as it is, and goes before the catch-all: bob@{HOME} -> forward" in ended.out
        assert forwarding.rules[0].actions != TO_WORKER

    def test_missing_mx_of_an_enabled_zone_is_put_back_by_email_routing(
        self, edge: Edge, cf: CloudflareFake, forwarding: Any
    ) -> None:
        forwarding.catch_all.enabled = False
        edge.zone.records = [record for record in edge.zone.records if record.content != CLOUDFLARE_MX[1]]
        edge.deploy()
        assert set(mx(edge)) == set(CLOUDFLARE_MX)
        assert edge.run("plan", "--json").document["plan"]["steps"] == []


def test_plan_as_json_is_whole(edge: Edge) -> None:
    document = edge.run("plan", "--json").document
    assert set(document) == {"permissions", "plan"}
    assert set(document["plan"]) == {"digest", "steps", "conflicts", "notes", "kept"}
    step = document["plan"]["steps"][0]
    assert set(step) == {"kind", "act", "zone", "name", "before", "after", "reason"}
    assert json.loads(json.dumps(document)) == document


class TestAccountsThatDiffer:
    """What was seen on some real accounts (tests/fakes/cloudflare/README.md)."""

    @pytest.fixture(params=["records_hidden", "tells_missing", "dkim"])
    def routing(self, edge: Edge, request: pytest.FixtureRequest) -> Any:
        value = '"v=DKIM1; h=sha256; k=rsa; p=MIIB"' if request.param == "dkim" else True
        setattr(edge.zone.routing, request.param, value)
        return edge.zone.routing

    def test_edge_comes_and_goes(self, edge: Edge, cf: CloudflareFake, routing: Any) -> None:
        edge.zone.records.append(Record("MX", HOME, "mail.provider.example", priority=0))
        before = seen(cf)
        edge.deploy("--replace-mail")
        assert routing.enabled
        assert edge.deploy().out == "Nothing to change.\n"
        assert edge.run("status", "--json").document["zones"][HOME]["records"]["in_order"] is True
        edge.destroy()
        assert seen(cf) == before

    def test_records_that_email_routing_made_count(self, edge: Edge, cf: CloudflareFake, routing: Any) -> None:
        routing.enabled = True
        edge.zone.records += required_records(edge.zone)
        edge.deploy()
        assert edge.deploy().out == "Nothing to change.\n"
        assert not [record for record in edge.zone.records if record.comment]
