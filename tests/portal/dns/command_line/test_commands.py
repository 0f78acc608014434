"""`homeport dns` over the admin socket of a portal that runs on Cloudflare's fake."""

from __future__ import annotations

import math
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.portal.conftest import Ended
from tests.portal.dns.conftest import HOME, TWO, portal_settings, records_at
from tests.portal.test_client import on_terminal
from tests.services.portal import PASSWORD, Portal

IDN = "xn--wgv71a119e.example"  # 日本語
HOSTILE = '"<script>\\"; \u202e\x1b]0;owned\x07 $INCLUDE"'
FACTOR = ["anna", "", PASSWORD]

Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def cloudflare() -> Iterator[CloudflareFake]:
    """One for all tests of this module, as is the portal: each uses names of its own."""
    with CloudflareFake(zones=[HOME, TWO, IDN]) as fake:
        yield fake


@pytest.fixture(scope="module")
def resolver() -> Iterator[int]:
    """The port of a resolver that refuses every question at once: what DNS says is the posture's tests' business."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        def refuse() -> None:
            while (received := listener.recvfrom(4096))[0]:
                query, source = received
                listener.sendto(query[:2] + b"\x81\x05" + query[4:], source)

        thread = threading.Thread(target=refuse)
        thread.start()
        yield listener.getsockname()[1]
        listener.sendto(b"", listener.getsockname())
        thread.join()


@pytest.fixture(scope="module")
def portal(cloudflare: CloudflareFake, resolver: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    settings = portal_settings(cloudflare, EDGE_ZONES=HOME, DNS_RESOLVERS=f"127.0.0.1:{resolver}")
    with Portal(tmp_path_factory.mktemp("portal"), settings) as running:
        running.set_up()
        yield running


@pytest.fixture
def cf(cloudflare: CloudflareFake) -> CloudflareFake:
    return cloudflare


@pytest.fixture
def dns(portal: Portal, run_cli: Run) -> Run:
    """`homeport dns ...` without a terminal."""

    def run(*arguments: str, code: int = 0, stdin: str = "") -> Ended:
        ended = run_cli("dns", *arguments, environment=portal.environment, stdin=stdin)
        assert ended.code == code, ended.err or ended.out
        return ended

    return run


def planned(ended: Ended) -> str:
    """The plan's id, out of the command that applies it."""
    found = re.search(r"To do it: homeport dns apply (\S+)", ended.out)
    assert found is not None, ended.out
    return found[1]


def contents(cf: CloudflareFake, name: str, zone: str = HOME) -> list[str]:
    return sorted(record["content"] for record in records_at(cf, zone) if record["name"] == f"{name}.{zone}")


def point(dns: Run) -> str:
    return str(dns("snapshots", HOME, "--take", "--json").document["id"])


def test_zones_are_shown_as_people_write_them(dns: Run) -> None:
    shown = dns("zones")
    assert "日本語.example" in shown.out
    assert {each["name"] for each in dns("zones", "--json").document["zones"]} == {HOME, TWO, IDN}


def test_record_is_added_shown_changed_and_taken_back(dns: Run, cf: CloudflareFake) -> None:
    plan = dns("plan", HOME, "add", "a", "one", "192.0.2.1", "--ttl", "300", "--comment", "first")
    assert f"+ A one.{HOME}  192.0.2.1  ttl 300  comment 'first'" in plan.out
    assert contents(cf, "one") == []
    applied = dns("apply", planned(plan))
    assert contents(cf, "one") == ["192.0.2.1"]
    shown = dns("show", HOME, "A one")
    assert "first" in shown.out
    assert "changed" in shown.out

    changed = dns("plan", HOME, "set", "A one", "--content", "192.0.2.2", "--no-proxied")
    assert "    content: 192.0.2.1 -> 192.0.2.2" in changed.out
    dns("apply", planned(changed), "--zone", HOME, "--reason", "moved")
    (back,) = re.findall(r"The way back: homeport dns undo (\S+)", applied.out)
    stale = dns("undo", back, code=1)  # it has become another record since
    assert "stale" in stale.error
    operation = dns("undo", planned(changed), "--json").document
    assert operation["counts"]["change"] == 1
    done = dns("apply", operation["id"], "--json").document
    assert (done["state"], contents(cf, "one")) == ("done", ["192.0.2.1"])
    assert dns("undo", done["id"], "--json").document["undoes"] == operation["id"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["MX", "mx0", "mail.example.net", "--priority", "0"], "0 mail.example.net"),
        (["TXT", "txt0", "v=spf1 -all"], '"v=spf1 -all"'),
        (["CAA", "caa0", "--data", "flags=0", "--data", "tag=issue", "--data", "value=ca.example"], "ca.example"),
        (["SRV", "_sip._tcp.srv0", "10 5 5060 sip.example.net"], "5060"),
        (["A", "日本", "192.0.2.1"], "xn--wgv71a"),
    ],
)
def test_each_kind_of_record_can_be_planned(dns: Run, words: list[str], said: str) -> None:
    assert said in dns("plan", HOME, "add", *words).out


def test_wrong_records_are_refused_with_what_is_wrong(dns: Run) -> None:
    assert "not-an-address" in dns("plan", HOME, "add", "A", "bad", "not-an-address", code=1).err


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", HOME, "add", "A"),
        ("plan", HOME, "add", "A", "www"),
        ("plan", HOME, "set", "A www"),
        ("plan", HOME, "set", "www", "--ttl", "60"),
        ("plan", HOME, "delete", "A www", "--ttl", "60"),
        ("plan", HOME, "add", "CAA", "x", "--data", "novalue"),
        ("drift", "--accept", "1"),
        ("drift", HOME, "--accept", "1", "--revert", "1"),
        ("check", "--fix", "x"),
        ("sync", "/dev/null"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(dns: Run, arguments: tuple[str, ...]) -> None:
    dns(*arguments, code=2)


def test_record_of_several_has_to_be_named_by_content_or_key(dns: Run, cf: CloudflareFake) -> None:
    for last in (1, 2):
        cf.edit(HOME, type="A", name="two", content=f"192.0.2.{last}", was=f"192.0.2.{last}")
    dns("read", HOME)
    refused = dns("plan", HOME, "delete", "A two", code=1)
    assert "2 records" in refused.error
    (key, *_) = re.findall(rf'"(A two\.{HOME} [0-9a-f]{{12}})"', refused.error)
    assert "1 to delete" in dns("plan", HOME, "delete", key).out
    assert "- A two" in dns("plan", HOME, "delete", "A two 192.0.2.2").out
    assert "no record" in dns("plan", HOME, "delete", "A three", code=1).error


def test_address_that_another_begins_with_is_not_taken_for_it(dns: Run, cf: CloudflareFake) -> None:
    cf.edit(HOME, type="A", name="digits", content="192.0.2.10")
    cf.edit(HOME, type="TXT", name="digits", content='"v=spf1 include:one.example -all"')
    dns("read", HOME)
    assert "no record" in dns("plan", HOME, "delete", "A digits 192.0.2.1", code=1).error
    assert "1 to delete" in dns("plan", HOME, "delete", "A digits 192.0.2.10").out
    assert "1 to delete" in dns("plan", HOME, "delete", "TXT digits v=spf1 include:one").out
    assert "no record" in dns("plan", HOME, "delete", "TXT digits include:one", code=1).error


def test_deletion_asks_for_a_factor_on_a_terminal(dns: Run, portal: Portal, cf: CloudflareFake) -> None:
    cf.edit(HOME, type="A", name="gone", content="192.0.2.1")
    dns("read", HOME)
    plan = planned(dns("plan", HOME, "delete", "A gone"))
    assert "terminal" in dns("apply", plan, code=1).error
    assert contents(cf, "gone") == ["192.0.2.1"]
    code, shown = on_terminal(portal, "dns", "apply", plan, typed=FACTOR)
    assert code == 0, shown
    assert contents(cf, "gone") == []


def test_stale_plan_does_nothing_and_shows_the_new_one(dns: Run, cf: CloudflareFake) -> None:
    cf.edit(HOME, type="A", name="stale", content="192.0.2.1")
    dns("read", HOME)
    plan = planned(dns("plan", HOME, "set", "A stale", "--ttl", "300"))
    cf.edit(HOME, type="A", name="stale", comment="by somebody else")
    refused = dns("apply", plan, code=1)
    assert "stale" in refused.error
    assert planned(refused) != plan


def test_hostile_text_reaches_no_terminal_and_no_json_reader_raw(dns: Run, cf: CloudflareFake) -> None:
    cf.edit(HOME, type="TXT", name="hostile", content=HOSTILE, comment="\x1b[2J")
    dns("read", HOME)
    for arguments in (("list", HOME, "--type", "txt"), ("show", HOME, "TXT hostile"), ("drift", HOME)):
        for more in ((), ("--json",)):
            shown = dns(*arguments, *more).out
            assert "hostile" in shown
            assert not {"\x1b", "\x07", "\u202e"} & set(shown)


@pytest.mark.parametrize("form", ["bind", "csv", "json"])
def test_exported_file_is_the_zone(dns: Run, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"{HOME}.{ {'bind': 'zone'}.get(form, form) }"
    dns("export", HOME, "--format", form, "--output", str(file))
    assert "Nothing has to change." in dns("sync", str(file), "--zone", HOME).out
    assert dns("import", HOME, str(file), "--json").document["changes"] == []


def test_sync_makes_a_zone_equal_to_a_file_after_asking(
    dns: Run, portal: Portal, cf: CloudflareFake, tmp_path: Path
) -> None:
    cf.edit(TWO, type="A", name="old", content="192.0.2.1")
    dns("read", TWO)
    file = tmp_path / "zone.txt"
    file.write_text(f"$ORIGIN {TWO}.\nnew 300 IN A 192.0.2.9\nmx 300 IN MX 0 mail.example.net.\n")
    assert "1 to delete" in dns("sync", str(file), "--plan").out
    assert "--yes" in dns("sync", str(file), code=1).error
    assert contents(cf, "old", TWO) == ["192.0.2.1"]
    code, shown = on_terminal(portal, "dns", "sync", str(file), typed=["y", *FACTOR])
    assert code == 0, shown
    assert (contents(cf, "old", TWO), contents(cf, "new", TWO)) == ([], ["192.0.2.9"])
    assert "Nothing has to change." in dns("sync", "-", stdin=file.read_text()).out


def test_sync_with_lines_that_are_wrong_deletes_nothing(dns: Run, cf: CloudflareFake) -> None:
    cf.edit(TWO, type="A", name="safe", content="192.0.2.1")
    dns("read", TWO)
    refused = dns("sync", "-", "--zone", TWO, "--yes", stdin="safe 300 IN A not-an-address\n", code=1)
    assert "line 1" in refused.err
    assert contents(cf, "safe", TWO) == ["192.0.2.1"]


def test_file_that_is_not_there_or_not_text_is_said(dns: Run, tmp_path: Path) -> None:
    binary = tmp_path / "x.zone"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in dns("import", HOME, str(tmp_path / "none"), code=1).error
    assert "UTF-8" in dns("import", HOME, str(binary), code=1).error
    assert "cannot be written" in dns("export", HOME, "-o", str(tmp_path / "no" / "where"), code=1).error


def test_points_in_time_are_compared_and_gone_back_to(dns: Run, cf: CloudflareFake) -> None:
    before = point(dns)
    cf.edit(HOME, type="A", name="later", content="192.0.2.1", comment="new")
    after = point(dns)
    assert before in dns("snapshots", HOME).out
    assert f"+ A later.{HOME}" in dns("diff", HOME, before, after).out
    assert f"- A later.{HOME}" in dns("diff", HOME, "now", before).out
    assert "Nothing differs." in dns("diff", HOME, after).out
    plan = dns("rollback", HOME, before)
    assert f"- A later.{HOME}" in plan.out
    (difference,) = dns("diff", HOME, before, "--json").document["differences"]
    assert "1 to delete" in dns("rollback", HOME, before, "--key", difference["keys"][0]).out
    assert "No such snapshot" in dns("rollback", HOME, "4711", code=1).error


def test_drift_is_shown_accepted_and_taken_back(dns: Run, cf: CloudflareFake) -> None:
    for name in ("kept", "spoilt"):
        cf.edit(HOME, type="A", name=name, content="192.0.2.1")
    dns("read", HOME)
    every = [str(each["id"]) for each in dns("drift", HOME, "--json").document["drift"]]
    dns("drift", HOME, *(word for each in every for word in ("--accept", each)))
    assert "Nothing was changed without Homeport." in dns("drift", HOME).out
    for name in ("kept", "spoilt"):
        cf.edit(HOME, type="A", name=name, content="203.0.113.66")
    dns("read", HOME)
    assert "content: 192.0.2.1 -> 203.0.113.66" in dns("drift").out
    numbers = {each["name"]: str(each["id"]) for each in dns("drift", HOME, "--json").document["drift"]}
    dns("drift", HOME, "--accept", numbers[f"A kept.{HOME}"])
    plan = dns("drift", HOME, "--revert", numbers[f"A spoilt.{HOME}"])
    dns("apply", planned(plan))
    assert (contents(cf, "kept"), contents(cf, "spoilt")) == (["203.0.113.66"], ["192.0.2.1"])
    assert "Nothing was changed without Homeport." in dns("drift", HOME).out
    assert "accepted" in dns("drift", HOME, "--all").out


def test_mail_domain_is_checked_and_says_what_is_wrong_with_the_way_out(dns: Run) -> None:
    checked = dns("check", HOME, code=1)
    assert "email-routing: error" in checked.out
    assert "spf: unknown" in checked.out
    assert HOME in dns("check", code=1).out
    document = dns("check", HOME, "--json", code=1).document
    assert document["verdict"] == "error"
    assert "finding" in dns("check", HOME, "--fix", "no-such-finding", code=1).error.lower()


def test_propagation_says_what_each_resolver_answers(dns: Run, cf: CloudflareFake) -> None:
    cf.edit(HOME, type="A", name="asked", content="192.0.2.1")
    dns("read", HOME)
    assert "unknown" in dns("propagation", HOME, "A asked").out


def test_what_is_not_there_is_said(dns: Run) -> None:
    assert "No such zone" in dns("list", "unknown.example", code=1).error
    assert "no plan" in dns("apply", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=1).error
    assert "no plan" in dns("undo", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=1).error
    assert "unfinished" in dns("finish", "01ARZ3NDEKTSV4RRFFQ69G5FAV", code=1).error


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 403, "code": 10000, "message": "Authentication error"}, "refuses the token"),
        ({"status": "reset"}, "cannot be reached"),
    ],
    ids=["refused-token", "outage"],
)
def test_refused_token_and_outage_show_what_was_last_known_and_since_when(
    dns: Run, cf: CloudflareFake, fault: dict[str, Any], said: str
) -> None:
    cf.edit(HOME, type="A", name="known", content="192.0.2.1")
    dns("read", HOME)
    cf.fail("*", "", times=math.inf, **fault)
    try:
        refused = dns("read", HOME, code=1)
        assert said in refused.error
        listed = dns("list", HOME)
        assert "known" in listed.out
        assert "Last read" in listed.err
        assert said in listed.err
    finally:
        cf.heal()
    assert "Last read" not in dns("read", HOME).err
