"""Lists of recipients under another key refuse every valid address: they go before a Worker with the new key comes."""

from __future__ import annotations

import json
import secrets
import time

import pytest

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.state import Namespace, Value
from tests.portal.conftest import HOME, TWO, Edge

NAME, NAMESPACE = "homeport-mail", "homeport-mail-recipients"


def foreign_list() -> Value:
    """Complete and fresh, hashed under a key that nobody here has."""
    content = {"complete": True, "catch_all": False, "delimiter": "+", "hashes": [secrets.token_hex(32)]}
    return Value(json.dumps({"v": 1, "generation": 9, "at": int(time.time()), **content}).encode())


def keys(cf: CloudflareFake) -> set[str]:
    return set(cf.state.namespace(NAMESPACE).values)


def places(cf: CloudflareFake, method: str, part: str) -> list[int]:
    return [at for at, request in enumerate(cf.writes) if request.method == method and part in request.path]


@pytest.fixture
def adopted(edge: Edge, cf: CloudflareFake) -> None:
    """A namespace of our name with lists of somebody else's, also of a domain that is configured only later."""
    values = {f"recipients/{HOME}": foreign_list(), f"recipients/{TWO}": foreign_list(), "other": Value(b"theirs")}
    cf.state.namespaces.append(Namespace(NAMESPACE, values))


def test_lists_in_an_adopted_namespace_go_before_the_worker_comes(
    edge: Edge, cf: CloudflareFake, adopted: None
) -> None:
    assert "remove lists homeport-mail-recipients" in edge.run("plan", "--adopt").out
    edge.deploy("--adopt")
    assert keys(cf) == {"other"}
    assert max(places(cf, "DELETE", "/values/")) < min(places(cf, "PUT", f"/scripts/{NAME}"))
    assert edge.deploy().out == "Nothing to change.\n"
    assert edge.sync(f"bob@{HOME}").code == 0
    assert edge.list_of()["generation"] == 1


@pytest.mark.parametrize("how", ["reset", "applied-then-reset", 500])
def test_lists_that_could_not_be_removed_keep_the_worker_out(
    edge: Edge, cf: CloudflareFake, adopted: None, how: str
) -> None:
    cf.fail("DELETE", "/values/", how)  # type: ignore[arg-type]  # one of the fake's words
    ended = edge.run("deploy", "--yes", "--adopt")
    assert (NAME in cf.state.scripts) == (ended.code == 0)
    cf.heal()
    edge.deploy("--adopt")
    assert keys(cf) == {"other"}


def test_adopted_namespace_keeps_none_of_our_lists_when_the_key_goes(
    edge: Edge, cf: CloudflareFake, adopted: None
) -> None:
    edge.deploy("--adopt")
    edge.sync(f"bob@{HOME}")
    ended = edge.destroy()
    assert "remove lists homeport-mail-recipients" in ended.out
    assert keys(cf) == {"other"}
    assert not (edge.state_dir / "edge-recipients.key").exists()
    edge.deploy("--adopt")
    assert edge.sync(f"bob@{HOME}").code == 0


def test_lists_of_a_lost_key_go_before_the_new_one_is_uploaded(edge: Edge, cf: CloudflareFake) -> None:
    cf.fail("PUT", f"/scripts/{NAME}$", 400)
    assert edge.run("deploy", "--yes").code == 1
    assert edge.sync(f"bob@{HOME}").code == 0
    (edge.state_dir / "edge-recipients.key").unlink()
    edge.deploy()
    assert keys(cf) == set()


def test_lists_of_another_key_than_the_restored_one_go(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    edge.sync(f"bob@{HOME}")
    (edge.state_dir / "edge-recipients.key").write_text(secrets.token_hex(32))
    edge.deploy()
    assert keys(cf) == set()


def test_lists_stay_when_anything_else_changes(edge: Edge, cf: CloudflareFake) -> None:
    edge.deploy()
    edge.sync(f"bob@{HOME}")
    before = edge.list_of()
    edge.new_key()
    edge.settings["edge_poison_limit"] = "3"
    edge.deploy()
    assert edge.list_of() == before
