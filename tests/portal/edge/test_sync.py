"""`homeport edge sync`: what lies in KV afterwards, and what it refuses to push."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portal.edge.recipients import hash_of
from tests.fakes.cloudflare import CloudflareFake
from tests.portal.conftest import HOME, TWO, Edge


@pytest.fixture(autouse=True)
def deployed(edge: Edge) -> None:
    edge.settings["edge_zones"] = f"{HOME},{TWO}"
    edge.deploy()


def hashes(edge: Edge, *names: str) -> list[str]:
    key = bytes.fromhex((edge.state_dir / "edge-recipients.key").read_text())
    return sorted(hash_of(key, f"{name}@{HOME}") for name in names)


def test_list_lies_in_kv_as_the_wire_says(edge: Edge) -> None:
    ended = edge.sync("# us", f"Bob+x@{HOME}", f"alice@{HOME}", f"@{TWO}")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        f"{HOME}: 2 addresses (before: no list), generation 1, changed",
        f"{TWO}: 0 addresses, catch-all (before: no list), generation 1, changed",
    ]
    document = edge.list_of()
    assert document.pop("at") > 1_700_000_000
    assert document == {
        "v": 1,
        "generation": 1,
        "complete": True,
        "catch_all": False,
        "delimiter": "+",
        "hashes": hashes(edge, "alice", "bob"),
    }
    assert edge.list_of(TWO)["catch_all"] is True


def test_file_and_standard_input_are_the_same(edge: Edge, tmp_path: Path) -> None:
    file = tmp_path / "recipients"
    file.write_text(f"bob@{HOME}\n")
    assert edge.run("sync", "--from", str(file), "--json").document == [
        {
            "domain": HOME,
            "addresses": 1,
            "is_catch_all": False,
            "generation": 1,
            "is_changed": True,
            "before": None,
        }
    ]
    assert edge.sync(f"bob@{HOME}").out == f"{HOME}: 1 addresses (before: 1), generation 1, unchanged, refreshed\n"


def test_same_list_again_is_only_made_fresh(edge: Edge, cf: CloudflareFake) -> None:
    edge.sync(f"bob@{HOME}")
    value = cf.state.namespace("homeport-mail-recipients").values[f"recipients/{HOME}"]
    old = json.loads(value.data) | {"at": 1}
    value.data = json.dumps(old).encode()
    edge.sync(f"bob@{HOME}")
    new = edge.list_of()
    assert new.pop("at") > old.pop("at")
    assert new == old


def test_changed_list_has_the_next_generation(edge: Edge, cf: CloudflareFake) -> None:
    edge.sync(f"bob@{HOME}")
    edge.sync(f"bob@{HOME}", f"alice@{HOME}")
    assert edge.list_of()["generation"] == 2
    cf.state.namespace("homeport-mail-recipients").values.clear()  # KV shows an old state, or none
    edge.sync(f"bob@{HOME}")
    assert edge.list_of()["generation"] == 3


def test_unreadable_list_is_replaced(edge: Edge, cf: CloudflareFake) -> None:
    edge.sync(f"bob@{HOME}")
    cf.state.namespace("homeport-mail-recipients").values[f"recipients/{HOME}"].data = b"\xff"
    assert edge.sync(f"bob@{HOME}").code == 0
    assert edge.list_of()["generation"] == 2


def test_zone_without_list_and_address_gets_none(edge: Edge, cf: CloudflareFake) -> None:
    ended = edge.sync()
    assert (ended.code, ended.out.startswith("There is no list to push")) == (0, True)
    assert cf.state.namespace("homeport-mail-recipients").values == {}


def test_bad_lines_are_refused_all_at_once_and_nothing_is_pushed(edge: Edge, cf: CloudflareFake) -> None:
    writes = len(cf.writes)
    ended = edge.sync(f"bob@{HOME}", "alice", "carol@elsewhere.example")
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "line 2: alice is no address",
        f"homeport: error: line 3: carol@elsewhere.example is in none of the configured zones ({HOME}, {TWO})",
    ]
    assert len(cf.writes) == writes


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([], f"{HOME}: would lose all of its 4 addresses; --allow-shrink"),
        ([f"a@{HOME}"], f"{HOME}: would lose 3 of 4 addresses; --allow-shrink"),
    ],
)
def test_list_that_shrinks_needs_a_word(edge: Edge, after: list[str], said: str) -> None:
    edge.sync(*(f"{name}@{HOME}" for name in "abcd"), f"a@{TWO}")
    before = edge.list_of()
    ended = edge.sync(*after, f"b@{TWO}")
    assert ended.code == 1
    assert said in ended.error
    assert edge.list_of() == before
    assert edge.list_of(TWO)["generation"] == 1
    assert edge.sync(*after, f"b@{TWO}", allow_shrink=True).code == 0
    assert edge.list_of()["hashes"] == hashes(edge, *(address[0] for address in after))


@pytest.mark.parametrize("how", ["applied-then-reset", "reset", 500])
def test_unclear_answer_ends_well_or_is_said(edge: Edge, cf: CloudflareFake, how: str) -> None:
    cf.fail("PUT", "/values/", how)  # type: ignore[arg-type]  # one of the fake's words
    ended = edge.sync(f"bob@{HOME}")
    assert ended.code == (0 if how == "applied-then-reset" else 1)
    assert edge.sync(f"bob@{HOME}").code == 0
    assert edge.list_of()["hashes"] == hashes(edge, "bob")


@pytest.mark.parametrize(("delimiter", "listed"), [("-", "bob"), ("", "bob-shop")])
def test_delimiter_is_the_mail_servers(edge: Edge, delimiter: str, listed: str) -> None:
    edge.sync(f"bob-shop@{HOME}")
    edge.settings["edge_recipient_delimiter"] = delimiter
    edge.sync(f"bob-shop@{HOME}", allow_shrink=True)
    document = edge.list_of()
    assert (document["delimiter"], document["generation"]) == (delimiter, 2)
    assert document["hashes"] == hashes(edge, listed)


def test_before_the_first_deploy_is_said(edge: Edge) -> None:
    edge.destroy()
    ended = edge.sync(f"bob@{HOME}")
    assert ended.code == 1
    assert "`homeport edge deploy` first" in ended.error


@pytest.mark.parametrize(("content", "said"), [(None, "cannot be read"), (b"\xff\xfe", "is not UTF-8")])
def test_file_that_cannot_be_read_is_said(edge: Edge, tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "recipients"
    if content is not None:
        file.write_bytes(content)
    ended = edge.run("sync", "--from", str(file))
    assert ended.code == 1
    assert said in ended.error


def test_output_never_shows_what_lies_in_kv(edge: Edge, cf: CloudflareFake) -> None:
    edge.sync(f"a@{HOME}", f"secret.person@{HOME}")
    ended = edge.sync(f"a@{HOME}", allow_shrink=True)
    assert "secret.person" not in ended.out + ended.err
