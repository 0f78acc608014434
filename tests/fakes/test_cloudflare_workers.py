"""Workers of the fake, through the official client."""

from __future__ import annotations

import json
from typing import Any, cast

import cloudflare
import pytest
from cloudflare import AsyncCloudflare

from tests.fakes.cloudflare import CloudflareFake
from tests.fakes.cloudflare.bindings import MAX_VARIABLE_BYTES, MAX_VARIABLES
from tests.fakes.cloudflare.state import Bucket, Namespace
from tests.fakes.cloudflare.workers import MAX_CRONS
from tests.fakes.conftest import ask, code_of

CODE = b'export default { email() {}, scheduled() {}, fetch() {} };\r\nconst bytes = "\xff\x00";'
MODULE = "application/javascript+module"
FILE = ("worker.js", CODE, MODULE)
CANARY = "canary-6f1c"


async def upload(client: AsyncCloudflare, account: str, *, files: Any = (FILE,), **metadata: Any) -> Any:
    full = {"main_module": "worker.js", "compatibility_date": "2026-07-01", **metadata}
    return await client.workers.scripts.update("edge", account_id=account, metadata=cast(Any, full), files=list(files))


def text(name: str, value: str = "v") -> dict[str, str]:
    return {"type": "plain_text", "name": name, "text": value}


def secret(name: str, value: str = CANARY) -> dict[str, str]:
    return {"type": "secret_text", "name": name, "text": value}


async def settings(client: AsyncCloudflare, account: str) -> Any:
    return await client.workers.scripts.script_and_version_settings.get("edge", account_id=account)


async def names(client: AsyncCloudflare, account: str) -> list[str]:
    return sorted(binding.name for binding in (await settings(client, account)).bindings)


async def test_upload_with_every_kind_of_binding_is_kept_and_shown(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    cf.state.buckets["bucket"] = Bucket("bucket")
    cf.state.namespaces.append(Namespace("n"))
    bindings = [
        text("URL", "https://mail.home.example"),
        secret("KEY"),
        {"type": "json", "name": "JSON", "json": {"a": [1]}},
        {"type": "r2_bucket", "name": "RETAINED", "bucket_name": "bucket"},
        {"type": "kv_namespace", "name": "RECIPIENTS", "namespace_id": cf.state.namespaces[0].id},
        {"type": "send_email", "name": "ALERT_MAIL", "destination_address": "me@elsewhere.example"},
    ]
    made = await upload(
        client,
        account,
        bindings=bindings,
        tags=["homeport", "sha256-1"],
        observability={"enabled": True},
        annotations={"workers/message": "by a test"},
    )
    script = cf.state.scripts["edge"]
    assert made.startup_time_ms >= 0
    assert (made.id, made.etag, made.tags) == ("edge", made.etag, ["homeport", "sha256-1"])
    assert made.handlers == ["fetch", "email", "scheduled"]
    assert script.modules["worker.js"].data == CODE
    assert script.secrets == {"KEY": CANARY}
    shown = await settings(client, account)
    by_name = {binding.name: binding for binding in shown.bindings}
    assert by_name["RETAINED"].bucket_name == "bucket"
    assert by_name["RECIPIENTS"].namespace_id == cf.state.namespaces[0].id
    assert by_name["URL"].text == "https://mail.home.example"
    assert by_name["KEY"].type == "secret_text"
    assert not hasattr(by_name["KEY"], "text")
    assert (shown.compatibility_date, shown.tags) == ("2026-07-01", ["homeport", "sha256-1"])
    assert shown.observability.enabled
    assert script.binding("ALERT_MAIL")["destination_address"] == "me@elsewhere.example"


async def test_secret_values_are_in_no_answer(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    made = await upload(client, account, bindings=[secret("KEY"), text("URL")])
    version = cf.state.scripts["edge"].versions[0].id
    answers = [made.model_dump_json()]
    paths = ("", "/edge", "/edge/content/v2", "/edge/settings", "/edge/script-settings", "/edge/secrets")
    for path in (*paths, "/edge/secrets/KEY", "/edge/versions", f"/edge/versions/{version}", "/edge/deployments"):
        answer = ask(cf, cf.token(), "GET", f"/accounts/{account}/workers/scripts{path}")
        assert answer.status_code == 200
        answers.append(answer.text)
    assert CANARY not in "".join(answers)
    assert [(s.name, s.type) async for s in client.workers.scripts.secrets.list("edge", account_id=account)] == [
        ("KEY", "secret_text")
    ]


async def test_upload_drops_what_it_does_not_name(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    await upload(client, account, bindings=[secret("KEY"), text("A")])
    await upload(client, account, bindings=[text("B")])
    assert await names(client, account) == ["B"]
    assert cf.state.scripts["edge"].secrets == {}


async def test_kept_types_survive_an_upload_and_yield_to_what_it_names(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    await upload(client, account, bindings=[secret("OLD"), secret("NEW", "1"), text("A")])
    await upload(client, account, bindings=[secret("NEW", "2")], keep_bindings=["secret_text"])
    assert cf.state.scripts["edge"].secrets == {"OLD": CANARY, "NEW": "2"}
    assert await names(client, account) == ["NEW", "OLD"]


async def test_inherited_bindings_come_from_the_former_version(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    await upload(client, account, bindings=[secret("KEY"), text("A", "1")])
    inherit = [
        {"type": "inherit", "name": "KEY"},
        {"type": "inherit", "name": "B", "old_name": "A"},
        {"type": "inherit", "name": "GONE"},
    ]
    await upload(client, account, bindings=inherit)
    assert cf.state.scripts["edge"].secrets == {"KEY": CANARY}
    assert cf.state.scripts["edge"].binding("B")["text"] == "1"
    assert await names(client, account) == ["B", "KEY"]
    with pytest.raises(cloudflare.BadRequestError):
        await client.workers.scripts.update(
            "edge",
            account_id=account,
            metadata=cast(Any, {"main_module": "worker.js", "bindings": inherit}),
            files=[FILE],
            bindings_inherit="strict",
        )


@pytest.mark.parametrize(
    ("code", "metadata"),
    [
        (10041, {"bindings": [{"type": "kv_namespace", "name": "N", "namespace_id": "0" * 32}]}),
        (10085, {"bindings": [{"type": "r2_bucket", "name": "B", "bucket_name": "none"}]}),
        (10021, {"bindings": [text("A"), text("A")]}),
        (10021, {"bindings": [{"type": "plain_text", "name": "A"}]}),
        (10021, {"bindings": [{"type": "teapot", "name": "A"}]}),
        (10021, {"bindings": [{**text("A"), "colour": "red"}]}),
        (10021, {"bindings": [{"type": "queue", "name": "A", "queue_name": "q"}]}),
        (10054, {"bindings": [text("A", "x" * (MAX_VARIABLE_BYTES + 1))]}),
        (10055, {"bindings": [text(f"A{n}") for n in range(MAX_VARIABLES + 1)]}),
        (10021, {"main_module": "other.js"}),
        (10021, {"colour": "red"}),
        (10021, {"files": []}),
        (10068, {"files": [("worker.js", b"1;", MODULE)]}),
        (10021, {"files": [("worker.js", CODE, "text/plain")]}),
    ],
)
async def test_uploads_that_cannot_be_are_refused_and_leave_the_old_one(
    cf: CloudflareFake, client: AsyncCloudflare, account: str, code: int, metadata: dict[str, Any]
) -> None:
    await upload(client, account, bindings=[secret("KEY")])
    before = cf.state.scripts["edge"]
    with pytest.raises(cloudflare.BadRequestError) as refused:
        await upload(client, account, **metadata)
    assert code_of(refused.value) == code
    assert cf.state.scripts == {"edge": before}
    assert before.secrets == {"KEY": CANARY}


async def test_script_name_is_judged(client: AsyncCloudflare, account: str) -> None:
    with pytest.raises(cloudflare.BadRequestError):
        await client.workers.scripts.update(
            "Edge!", account_id=account, metadata={"main_module": "worker.js"}, files=[FILE]
        )


async def test_list_content_and_delete(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    scripts = client.workers.scripts
    assert [script async for script in scripts.list(account_id=account)] == []
    await upload(client, account, tags=["homeport"])
    assert [script.id async for script in scripts.list(account_id=account, tags="homeport:yes")] == ["edge"]
    assert [script async for script in scripts.list(account_id=account, tags="homeport:no")] == []
    content = await (await scripts.content.get("edge", account_id=account)).read()
    assert CODE in content
    assert "email() {}" in await scripts.get("edge", account_id=account)
    await scripts.delete("edge", account_id=account, force=True)
    assert cf.state.scripts == {}
    with pytest.raises(cloudflare.NotFoundError) as missing:
        await scripts.delete("edge", account_id=account)
    assert code_of(missing.value) == 10007


async def test_content_is_replaced_alone(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    await upload(client, account, bindings=[secret("KEY")], tags=["kept"])
    await client.workers.scripts.content.update(
        "edge",
        account_id=account,
        metadata={"main_module": "new.js"},
        files=[("new.js", b"export default {}", MODULE)],
    )
    script = cf.state.scripts["edge"]
    assert (script.main_module, [*script.modules]) == ("new.js", ["new.js"])
    assert (script.secrets, script.tags) == ({"KEY": CANARY}, ["kept"])


async def test_same_code_has_the_same_etag_and_other_code_another(client: AsyncCloudflare, account: str) -> None:
    first = await upload(client, account)
    again = await upload(client, account, bindings=[text("A")])
    other = await upload(client, account, files=[("worker.js", CODE + b"//", MODULE)])
    assert first.etag == again.etag != other.etag
    assert first.created_on == other.created_on


async def test_settings_are_patched(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    await upload(client, account, bindings=[secret("KEY")])
    scripts = client.workers.scripts
    await scripts.settings.edit("edge", account_id=account, tags=["a"], logpush=True)
    got = await scripts.settings.get("edge", account_id=account)
    assert (got.tags, got.logpush) == (["a"], True)
    form = {"settings": (None, json.dumps({"tags": ["b"], "compatibility_date": "2026-08-01"}))}
    path = f"/accounts/{account}/workers/scripts/edge/settings"
    patched = ask(cf, cf.token(), "PATCH", path, files=form).json()
    assert (patched["result"]["tags"], patched["result"]["compatibility_date"]) == (["b"], "2026-08-01")
    assert cf.state.scripts["edge"].secrets == {"KEY": CANARY}


async def test_schedules_are_replaced_as_a_whole(client: AsyncCloudflare, account: str) -> None:
    await upload(client, account)
    schedules = client.workers.scripts.schedules
    assert (await schedules.get("edge", account_id=account)).schedules == []
    await schedules.update("edge", account_id=account, body=[{"cron": "* * * * *"}, {"cron": "*/5 0-6 1,15 * MON-FRI"}])
    await schedules.update("edge", account_id=account, body=[{"cron": "0 0 * * *"}])
    assert [s.cron for s in (await schedules.get("edge", account_id=account)).schedules] == ["0 0 * * *"]
    for bad in (
        [{"cron": "* * * *"}],
        [{"cron": "whenever"}],
        [{"crn": "* * * * *"}],
        [{"cron": "* * * * *"}] * (MAX_CRONS + 1),
    ):
        with pytest.raises(cloudflare.BadRequestError):
            await schedules.update("edge", account_id=account, body=cast(Any, bad))
    assert [s.cron for s in (await schedules.get("edge", account_id=account)).schedules] == ["0 0 * * *"]


async def test_upload_keeps_schedules_and_subdomain(cf: CloudflareFake, client: AsyncCloudflare, account: str) -> None:
    await upload(client, account)
    await client.workers.scripts.schedules.update("edge", account_id=account, body=[{"cron": "* * * * *"}])
    await client.workers.scripts.subdomain.create("edge", account_id=account, enabled=True)
    await upload(client, account)
    assert (cf.state.scripts["edge"].crons, cf.state.scripts["edge"].subdomain_enabled) == (["* * * * *"], True)


async def test_subdomain_of_a_script_follows_that_of_the_account(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    await upload(client, account)
    subdomain = client.workers.scripts.subdomain
    assert not (await subdomain.get("edge", account_id=account)).enabled
    cf.state.subdomain = None
    with pytest.raises(cloudflare.NotFoundError):
        await client.workers.subdomains.get(account_id=account)
    with pytest.raises(cloudflare.ConflictError):
        await subdomain.create("edge", account_id=account, enabled=True)
    await client.workers.subdomains.update(account_id=account, subdomain="mine")
    assert (await client.workers.subdomains.get(account_id=account)).subdomain == "mine"
    with pytest.raises(cloudflare.ConflictError):
        await client.workers.subdomains.update(account_id=account, subdomain="other")
    made = await subdomain.create("edge", account_id=account, enabled=True, previews_enabled=False)
    assert (made.enabled, made.previews_enabled) == (True, False)
    gone = await subdomain.delete("edge", account_id=account)
    assert not gone.enabled


async def test_secrets_are_set_listed_and_deleted_alone(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    await upload(client, account, bindings=[text("A")])
    secrets = client.workers.scripts.secrets
    await secrets.update("edge", account_id=account, name="KEY", text=CANARY, type="secret_text")
    assert cf.state.scripts["edge"].secrets == {"KEY": CANARY}
    got = await secrets.get("KEY", account_id=account, script_name="edge")
    assert got is not None
    assert got.name == "KEY"
    with pytest.raises(cloudflare.BadRequestError):
        await secrets.update("edge", account_id=account, name="A", text=CANARY, type="secret_text")
    await secrets.delete("KEY", account_id=account, script_name="edge")
    for act in (secrets.get, secrets.delete):
        with pytest.raises(cloudflare.NotFoundError) as missing:
            await act("KEY", account_id=account, script_name="edge")
        assert code_of(missing.value) == 10056


async def test_each_change_of_code_or_bindings_is_a_version(
    cf: CloudflareFake, client: AsyncCloudflare, account: str
) -> None:
    await upload(client, account, bindings=[secret("KEY")])
    await upload(client, account)
    await client.workers.scripts.secrets.update("edge", account_id=account, name="S", text="s", type="secret_text")
    versions = [v async for v in client.workers.scripts.versions.list("edge", account_id=account)]
    assert [version.number for version in versions] == [3, 2, 1]
    assert versions[0].id is not None
    with pytest.raises(cloudflare.NotFoundError):
        await client.workers.scripts.versions.get("0", account_id=account, script_name="edge")
    # The SDK's method can't read any answer: pydantic knows no schema for its class ResourcesBindings.
    answer = ask(cf, cf.token(), "GET", f"/accounts/{account}/workers/scripts/edge/versions/{versions[2].id}")
    resources = answer.json()["result"]["resources"]
    assert resources["bindings"] == [{"name": "KEY", "type": "secret_text"}]
    assert resources["script"]["handlers"] == ["fetch", "email", "scheduled"]


async def test_deployments_are_answered_in_a_shape_that_the_sdk_cannot_iterate(
    client: AsyncCloudflare, account: str
) -> None:
    """It looks for `items`; the API says `deployments`. Whoever needs them reads the raw answer, or the versions."""
    await upload(client, account)
    deployments = client.workers.scripts.deployments
    assert [deployment async for deployment in deployments.list("edge", account_id=account)] == []
    answer = await deployments.with_raw_response.list("edge", account_id=account)
    listed = json.loads(await answer.text())["result"]["deployments"]
    assert [deployment["versions"][0]["percentage"] for deployment in listed] == [100]


async def test_everything_of_a_missing_script_is_not_found(client: AsyncCloudflare, account: str) -> None:
    scripts = client.workers.scripts
    for act in (
        scripts.get,
        scripts.content.get,
        scripts.settings.get,
        scripts.schedules.get,
        scripts.subdomain.get,
        scripts.versions.list,
        scripts.secrets.list,
        scripts.script_and_version_settings.get,
    ):
        with pytest.raises(cloudflare.NotFoundError) as missing:
            await cast(Any, act)("none", account_id=account)
        assert code_of(missing.value) == 10007
