"""What another process left: the catalog, requests and records, also when they are not what their names say."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backup.catalog import Catalog as BackupCatalog
from backup.requests import MAX_BYTES as MOST_THAT_IS_TAKEN
from backup.requests import parse
from portal.backups.catalog import MAX_BYTES, BackupsNotConnected, CatalogFile, CatalogUnreadable
from portal.backups.requests import Act, Request, RequestNotWritten, Requests
from portal.backups.runs import CHUNK, RunRecord, read_lines
from portal.backups.schemas import Catalog, RestorePreview
from tests.portal.backups.unit import EXAMPLES, Run, example, make_directory, preview_of, write_catalog

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


# -- the catalog ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["full", "empty", "failed"])
def test_portal_reads_of_the_catalog_what_the_backup_wrote(name: str) -> None:
    data = (EXAMPLES / f"{name}.json").read_bytes()
    written = json.loads(BackupCatalog.model_validate_json(data).model_dump_json())
    shown = json.loads(Catalog.model_validate_json(data).model_dump_json())
    assert shown == written, "nothing is left out and nothing is called otherwise"


def test_catalog_of_a_newer_backup_is_still_read(tmp_path: Path) -> None:
    catalog = example("full") | {"a_new_member": 1}
    catalog["points"][0]["another"] = {"x": 1}
    directory = make_directory(tmp_path / "b", catalog)
    assert CatalogFile(directory).read().require().host == "homeport"


def test_state_says_whether_the_catalog_may_be_believed(tmp_path: Path) -> None:
    assert CatalogFile(None).read().state(NOW) == "not_connected"
    with pytest.raises(BackupsNotConnected):
        CatalogFile(None).read().require()
    directory = make_directory(tmp_path / "b", None)
    file = CatalogFile(directory)
    assert file.read().state(NOW) == "absent"
    with pytest.raises(CatalogUnreadable, match="no backup has ended yet"):
        file.read().require()
    write_catalog(directory, example("full"))
    written_at = file.read().require().written_at
    assert file.read().state(written_at + timedelta(hours=26)) == "fresh"
    assert file.read().state(written_at + timedelta(hours=26, seconds=1)) == "stale"


def test_catalog_is_read_anew_when_it_is_replaced_and_only_then(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", example("full"))
    file = CatalogFile(directory)
    first = file.read().catalog
    assert file.read().catalog is first
    write_catalog(directory, example("full") | {"host": "other"})
    assert file.read().require().host == "other"
    (directory / "catalog.json").unlink()
    assert file.read().catalog is None, "what is gone is not shown from memory"


def _symlink(path: Path) -> None:
    path.symlink_to(EXAMPLES / "full.json")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_symlink, "symbolic link"),
        (_fifo, "no plain file"),
        (Path.mkdir, "no plain file"),
        (_huge, f"{MAX_BYTES} are read at most"),
        (lambda path: path.write_bytes(b""), "no catalog of version 1"),
        (lambda path: path.write_bytes(b"\xff\xfe{}"), "no catalog of version 1"),
        (lambda path: path.write_text("[" * 500_000), "no catalog of version 1"),
        (lambda path: path.write_text(json.dumps(example("full") | {"schema_version": 2})), "schema_version"),
        (lambda path: path.write_text(json.dumps(example("full") | {"points": [{"id": 1}]})), r"points\.0"),
    ],
    ids=["symlink", "fifo", "directory", "huge", "empty", "bytes", "deep", "version 2", "other form"],
)
def test_hostile_catalog_is_damaged_and_says_why(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    directory = make_directory(tmp_path / "b", None)
    make(directory / "catalog.json")
    seen = CatalogFile(directory).read()
    assert seen.state(NOW) == "damaged"
    with pytest.raises(CatalogUnreadable, match=why):
        seen.require()


# -- requests ---------------------------------------------------------------------------------------------------------

_ASSET = {"kind": "mailbox", "name": "anna@home.test"}
_RESTORE: dict[str, object] = {
    "point": "daily/2026-11-22",
    "asset": _ASSET,
    "folder": None,
    "origin": "local",
    "where": "beside",
}
WANTED: dict[Act, dict[str, object]] = {
    "run": {"scope": "all"},
    "verify": {"point": "daily/2026-11-22"},
    "drill": {"asset": None, "origin": "local"},
    "vaultdrill": {"asset": None},
    "preview": _RESTORE,
    "restore": _RESTORE | {"plan": "5f" * 32, "confirm": None},
}


@pytest.mark.parametrize("act", WANTED)
def test_unit_understands_what_the_portal_asks_for(tmp_path: Path, act: Act) -> None:
    directory = make_directory(tmp_path / "b", None)
    request = Request.new(act, "uid 0, confirmed by Ännä\r\n\u202e" + "x" * 500, NOW, WANTED[act])
    Requests(directory).write(request)
    (path,) = (directory / "requests").glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    data = path.read_bytes()
    assert len(data) < MOST_THAT_IS_TAKEN
    parsed = parse(data, path.stem)
    assert (parsed.id, parsed.act) == (request.id, act)
    assert parsed.by.startswith("uid 0, confirmed by Ännäx")


def test_request_is_withdrawn_until_it_is_taken(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", None)
    requests = Requests(directory)
    first, second = (Request.new("run", "anna", NOW, WANTED["run"]) for _ in range(2))
    requests.write(first)
    requests.write(second)
    assert requests.state(first.id) == "requested"
    assert [(each.by, each.state) for each in requests.all()] == [("anna", "requested")] * 2
    assert requests.withdraw(first.id)
    assert not requests.withdraw(first.id)
    assert requests.state(first.id) is None
    (directory / "requests" / f"{second.id}.json").rename(directory / "requests" / "taken" / f"{second.id}.json")
    assert not requests.withdraw(second.id)
    assert [(each.id, each.state) for each in requests.all()] == [(second.id, "accepted")]


def test_request_that_cannot_be_written_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RequestNotWritten, match="No such file or directory"):
        Requests(tmp_path / "gone").write(Request.new("run", "anna", NOW, WANTED["run"]))


def test_foreign_files_among_the_requests_are_passed_over(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", None)
    requests = directory / "requests"
    name = "20261122T020000Z-run-0123456{}.json"
    (requests / "notes.txt").write_text("x")
    (requests / "..json").write_text("x")
    (requests / "20269999T020000Z-run-01234567.json").write_text("{}")
    (requests / name.format("a")).symlink_to("/etc/passwd")
    os.mkfifo(requests / name.format("b"))
    (requests / name.format("c")).write_text("[" * 60_000)
    (requests / name.format("d")).write_text('{"by": 7}')
    assert [(each.id[-1], each.by) for each in Requests(directory).all()] == [(each, "") for each in "dcba"]


# -- records of runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "preview", "refused"])
def test_portal_reads_every_documented_line(name: str) -> None:
    path = EXAMPLES / f"{name}.jsonl"
    written = [json.loads(line) for line in path.read_bytes().splitlines()]
    part = read_lines(path, None)
    assert [line.model_dump(mode="json", exclude_none=True) for line in part.lines] == [
        {key: value for key, value in line.items() if value is not None} for line in written
    ]
    assert (part.after, part.is_truncated) == (path.stat().st_size, False)


def test_preview_of_the_contract_is_one_that_can_be_restored_from() -> None:
    record = RunRecord(EXAMPLES / "preview.jsonl")
    record.advance()
    assert record.result is not None
    assert RestorePreview.model_validate(record.result.result).services == ["mail-dovecot"]


def test_record_is_read_as_it_grows_a_line_at_a_time(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", None)
    run = Run(directory, "20261122T020000Z-run-01234567")
    record = RunRecord(run.path)
    assert record.advance() == []
    run.started("run")
    run.say("step", name="stage", detail={})
    run.say("progress", done=1, total=9, unit="bytes", rate=None, eta_s=None)
    run.say("progress", done=2, total=9, unit="bytes", rate=None, eta_s=None)
    assert [line.type for line in record.advance()] == ["started", "step", "progress"]
    assert record.progress is not None
    assert record.progress.done == 2
    with run.path.open("a") as file:
        file.write('{"at":"2026-11-22T02:00:00Z","type":"no')
    assert record.advance() == [], "half a line is none"
    with run.path.open("a") as file:
        file.write('te","text":"whole"}\n{"type":"unheard of"}\nno json\n\n')
    assert [line.text for line in record.advance()] == ["whole"]
    run.ended(4, "mysqldump: Got error: 2013")
    assert [line.type for line in record.advance()] == ["ended"]
    assert record.ended is not None
    assert record.ended.error == "mysqldump: Got error: 2013"


def test_long_record_is_read_from_its_end(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", None)
    run = Run(directory, "20261122T020000Z-run-01234567")
    run.started("run")
    with run.path.open("ab") as file:
        file.write(b"x" * (5 * CHUNK) + b"\n")
    run.say("note", text="after it")
    run.ended()
    record = RunRecord(run.path)
    assert [line.type for line in record.advance()] == ["note", "ended"]
    part = read_lines(run.path, None)
    assert ([line.type for line in part.lines], part.is_truncated) == (["note", "ended"], True)
    after, found = 0, []
    while (part := read_lines(run.path, after)).after != after:
        found += [line.type for line in part.lines]
        after = part.after
    assert found == ["started", "note", "ended"], "and whoever reads all of it gets past a line without an end"
    assert read_lines(run.path, 10**12).after == run.path.stat().st_size, "an offset behind the end is none"


def test_longest_preview_fits_a_record(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "b", None)
    run = Run(directory, "20261122T020000Z-preview-01234567")
    changes = [{"path": "d" * 4000 + str(number), "what": "add"} for number in range(200)]
    run.result(**preview_of(WANTED["preview"], changes=changes))
    record = RunRecord(run.path)
    record.advance()
    assert record.result is not None
    assert len(RestorePreview.model_validate(record.result.result).changes) == 200
