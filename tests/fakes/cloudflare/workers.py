"""Workers: scripts and their settings, cron triggers, workers.dev, versions."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from cloudflare.types.workers import SubdomainUpdateParams, script_update_params
from cloudflare.types.workers.scripts import (
    SettingEditParams,
    SubdomainCreateParams,
    schedule_update_params,
    script_and_version_setting_edit_params,
)

from tests.fakes.cloudflare.bindings import bind, find, publish, shown
from tests.fakes.cloudflare.envelope import Answer, Call, Json, Part, Refused, Route, boolean, integer, raw, success
from tests.fakes.cloudflare.state import Module, Script, Version, now
from tests.fakes.cloudflare.validation import body, checked, query

MAX_CRONS = 5  # Free plan, per account

_NAME = re.compile(r"[a-z0-9_][a-z0-9-_]{0,62}")
_MODULE_TYPES = ("application/javascript+module", "text/javascript+module")
_HANDLERS = ("fetch", "email", "scheduled", "queue", "tail")
_FIELD = r"(\*|[\dA-Za-z#LW]+(-[\dA-Za-z]+)?(,[\dA-Za-z]+(-[\dA-Za-z]+)?)*)(/\d+)?"
_CRON = re.compile(rf"{_FIELD}( {_FIELD}){{4}}")
_KEPT_SETTINGS = ("logpush", "observability", "tail_consumers", "usage_model", "placement", "limits", "cache_options")


def _handlers(script: Script) -> list[str]:
    """Guess what the main module exports; nothing is run here."""
    source = script.modules[script.main_module].data
    return [name for name in _HANDLERS if re.search(rf"\b{name}\b".encode(), source)]


def _etag(script: Script) -> str:
    digest = hashlib.sha256()
    for name, module in sorted(script.modules.items()):
        digest.update(f"{name}:{len(module.data)}:".encode() + module.data)
    return digest.hexdigest()


def _answer(script: Script) -> Json:
    return {
        "id": script.name,
        "tag": script.tag,
        "tags": script.tags,
        "etag": _etag(script),
        "handlers": _handlers(script),
        "has_assets": False,
        "has_modules": True,
        "compatibility_date": script.compatibility_date,
        "compatibility_flags": script.compatibility_flags,
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "last_deployed_from": "api",
        "logpush": script.settings.get("logpush", False),
        "usage_model": script.settings.get("usage_model", "standard"),
    }


def _list(call: Call) -> Answer:
    wanted = query(call, "tags").get("tags")
    found = [s for _, s in sorted(call.state.scripts.items()) if wanted is None or _has_tags(s, wanted)]
    return success([_answer(script) for script in found])


def _has_tags(script: Script, wanted: str) -> bool:
    """Apply a filter such as `edge:yes,old:no`."""
    pairs = [pair.rpartition(":") for pair in wanted.split(",")]
    if any(answer not in ("yes", "no") for _, _, answer in pairs):
        raise Refused(400, 10001, f"Invalid parameter tags: {wanted!r}")
    return all((tag in script.tags) == (answer == "yes") for tag, _, answer in pairs)


def _upload(call: Call) -> Answer:
    query(call, "bindings_inherit")
    name = call.path["script_name"]
    if not _NAME.fullmatch(name):
        raise Refused(400, 10016, "Invalid Worker name. Use lower-case letters, digits, dashes and underscores.")
    metadata = checked(_metadata(call, "metadata"), script_update_params.Metadata, code=10021)
    modules = _modules(call.parts)
    main = metadata.get("main_module")
    if main is None or main not in modules:
        raise Refused(400, 10021, f"No such module: {main!r}. The main_module must be one of the uploaded files.")
    if b"export" not in modules[main].data:
        raise Refused(400, 10068, "The uploaded script has no registered event handlers.")
    former = call.state.scripts.get(name)
    plain, secrets = bind(call, metadata.get("bindings", []), former, metadata.get("keep_bindings", []))
    script = copy.deepcopy(former) if former is not None else Script(name, main, modules)
    script.main_module, script.modules, script.bindings, script.secrets = main, modules, plain, secrets
    script.compatibility_date = metadata.get("compatibility_date", "")
    script.compatibility_flags = metadata.get("compatibility_flags", [])
    script.tags = metadata.get("tags", script.tags)
    script.annotations = metadata.get("annotations", {})
    script.settings |= {key: metadata[key] for key in _KEPT_SETTINGS if key in metadata}
    publish(script)
    call.state.scripts[name] = script
    return success({**_answer(script), "startup_time_ms": 3, "entry_point": main})


def _metadata(call: Call, name: str) -> Any:
    part = next((part for part in call.parts if part.name == name), None)
    if part is None:
        raise Refused(400, 10021, f"The request must be multipart/form-data with a part named {name}")
    try:
        return json.loads(part.data)
    except ValueError as error:
        raise Refused(400, 10021, f"The part {name} is not valid JSON") from error


def _modules(parts: Iterable[Part]) -> dict[str, Module]:
    """Return the uploaded files by the name that metadata calls them: their file name, else the part's."""
    modules = {}
    for part in parts:
        if part.name == "metadata":
            continue
        if part.content_type.partition(";")[0] not in _MODULE_TYPES:
            raise Refused(400, 10021, f"{part.filename} has the type {part.content_type}: this fake takes only modules")
        modules[part.filename or part.name] = Module(part.content_type, part.data)
    return modules


def _download(call: Call) -> Answer:
    """Answer the modules as multipart, as they were uploaded."""
    query(call)
    script = find(call)
    boundary = f"fake{_etag(script)[:32]}"
    pieces = []
    for name, module in script.modules.items():
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{name}"'
        head = f"--{boundary}\r\n{disposition}\r\nContent-Type: {module.content_type}\r\n\r\n"
        pieces.append(head.encode() + module.data + b"\r\n")
    data = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    headers = {"etag": _etag(script), "cf-entrypoint": script.main_module}
    return raw(data, f'multipart/form-data; boundary="{boundary}"', headers=headers)


def _put_content(call: Call) -> Answer:
    """Replace the modules, keep everything else."""
    query(call)
    script = find(call)
    metadata = _metadata(call, "metadata")
    modules = _modules(call.parts)
    main = metadata.get("main_module", script.main_module)
    if main not in modules:
        raise Refused(400, 10021, f"No such module: {main!r}")
    script.main_module, script.modules = main, modules
    publish(script)
    return success(_answer(script))


def _delete(call: Call) -> Answer:
    query(call, "force")
    boolean(call, "force")
    del call.state.scripts[find(call).name]
    return success(None)


def _settings_answer(script: Script) -> Answer:
    return success(
        {
            "bindings": shown(script),
            "compatibility_date": script.compatibility_date,
            "compatibility_flags": script.compatibility_flags,
            "annotations": script.annotations,
            "tags": script.tags,
            "usage_model": "standard",
            "logpush": False,
            **script.settings,
        }
    )


def _get_settings(call: Call) -> Answer:
    query(call)
    return _settings_answer(find(call))


def _patch_settings(call: Call) -> Answer:
    """Change what the part `settings` names. Its bindings, if any, are all that is left, as with an upload."""
    query(call)
    script = find(call)
    given = checked(_metadata(call, "settings"), script_and_version_setting_edit_params.Settings, code=10021)
    if "bindings" in given:
        script.bindings, script.secrets = bind(call, given["bindings"], script, [])
    for name in ("compatibility_date", "compatibility_flags", "annotations"):
        if name in given:
            setattr(script, name, given[name])
    script.tags = given.get("tags", script.tags) or []
    script.settings |= {key: given[key] for key in _KEPT_SETTINGS if key in given}
    publish(script)
    return _settings_answer(script)


def _script_settings_answer(script: Script) -> Answer:
    optional = {key: script.settings[key] for key in ("observability", "tail_consumers") if key in script.settings}
    return success({"logpush": script.settings.get("logpush", False), "tags": script.tags, **optional})


def _get_script_settings(call: Call) -> Answer:
    query(call)
    return _script_settings_answer(find(call))


def _patch_script_settings(call: Call) -> Answer:
    """Change these without a new version."""
    query(call)
    given = body(call, SettingEditParams)
    script = find(call)
    script.tags = given.get("tags", script.tags) or []
    script.settings |= {key: value for key, value in given.items() if key != "tags"}
    script.modified_on = now()
    return _script_settings_answer(script)


def _schedules_answer(script: Script) -> Answer:
    times = {"created_on": script.created_on, "modified_on": script.modified_on}
    return success({"schedules": [{"cron": cron, **times} for cron in script.crons]})


def _get_schedules(call: Call) -> Answer:
    query(call)
    return _schedules_answer(find(call))


def _put_schedules(call: Call) -> Answer:
    """Replace all cron triggers by the list in the body."""
    query(call)
    script = find(call)
    given = call.json()
    if not isinstance(given, list):
        raise Refused(400, 10001, "Invalid request: the body must be a list")
    for item in given:
        checked(item, schedule_update_params.Body)
        if not _CRON.fullmatch(item["cron"]):
            raise Refused(400, 10100, f"invalid cron string: {item['cron']}")
    elsewhere = sum(len(other.crons) for other in call.state.scripts.values() if other is not script)
    if elsewhere + len(given) > MAX_CRONS:
        raise Refused(400, 10072, f"You have exceeded the limit of {MAX_CRONS} cron triggers.")
    script.crons = [item["cron"] for item in given]
    return _schedules_answer(script)


def _get_account_subdomain(call: Call) -> Answer:
    query(call)
    if call.state.subdomain is None:
        raise Refused(404, 10007, "This account does not have a workers.dev subdomain.")
    return success({"subdomain": call.state.subdomain})


def _put_account_subdomain(call: Call) -> Answer:
    """Choose it, once."""
    query(call)
    subdomain = body(call, SubdomainUpdateParams)["subdomain"]
    if call.state.subdomain not in (None, subdomain):
        raise Refused(409, 10036, "This account already has a workers.dev subdomain.")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", subdomain):
        raise Refused(400, 10031, "Invalid subdomain.")
    call.state.subdomain = subdomain
    return success({"subdomain": subdomain})


def _subdomain_answer(script: Script) -> Answer:
    return success({"enabled": script.subdomain_enabled, "previews_enabled": script.previews_enabled})


def _get_subdomain(call: Call) -> Answer:
    query(call)
    return _subdomain_answer(find(call))


def _post_subdomain(call: Call) -> Answer:
    query(call)
    given = body(call, SubdomainCreateParams)
    script = find(call)
    if given["enabled"] and call.state.subdomain is None:
        raise Refused(409, 10063, "You need a workers.dev subdomain in order to proceed.")
    script.subdomain_enabled = given["enabled"]
    script.previews_enabled = bool(given.get("previews_enabled", given["enabled"]))
    return _subdomain_answer(script)


def _delete_subdomain(call: Call) -> Answer:
    query(call)
    script = find(call)
    script.subdomain_enabled = script.previews_enabled = False
    return _subdomain_answer(script)


def _version_answer(version: Version) -> Json:
    metadata = {"created_on": version.created_on, "modified_on": version.created_on, "source": version.source}
    return {"id": version.id, "number": version.number, "metadata": {**metadata, "hasPreview": False}}


def _list_versions(call: Call) -> Answer:
    query(call, "deployable", "page", "per_page")
    versions = find(call).versions
    size = integer(call, "per_page", 10, least=1, most=100)
    number = integer(call, "page", 1, least=1, most=10**9)
    asked = versions[(number - 1) * size : number * size]
    info = {"page": number, "per_page": size, "count": len(asked), "total_count": len(versions)}
    return success({"items": [_version_answer(version) for version in asked]}, info=info)


def _get_version(call: Call) -> Answer:
    query(call)
    script = find(call)
    for version in script.versions:
        if version.id == call.path["version_id"]:
            resources = {
                "bindings": version.bindings,
                "script": {"etag": _etag(script), "handlers": _handlers(script), "last_deployed_from": version.source},
                "script_runtime": {"compatibility_date": script.compatibility_date, "usage_model": "standard"},
            }
            return success({**_version_answer(version), "resources": resources})
    raise Refused(404, 10092, "The requested version could not be found.")


def _list_deployments(call: Call) -> Answer:
    """List the deployments: here each version was deployed at once, to all."""
    query(call, "page", "per_page")
    deployments = [
        {
            "id": version.id,
            "source": version.source,
            "strategy": "percentage",
            "created_on": version.created_on,
            "versions": [{"percentage": 100, "version_id": version.id}],
            "annotations": {"workers/triggered_by": "upload"},
        }
        for version in find(call).versions
    ]
    return success({"deployments": deployments})


_ACCOUNT = "/accounts/{account_id}/workers"
_ONE = _ACCOUNT + "/scripts/{script_name}"

ROUTES = [
    Route("GET", _ACCOUNT + "/scripts", _list),
    Route("GET", _ACCOUNT + "/subdomain", _get_account_subdomain),
    Route("PUT", _ACCOUNT + "/subdomain", _put_account_subdomain),
    Route("GET", _ONE, _download),
    Route("PUT", _ONE, _upload),
    Route("DELETE", _ONE, _delete),
    Route("GET", _ONE + "/content/v2", _download),
    Route("PUT", _ONE + "/content", _put_content),
    Route("GET", _ONE + "/settings", _get_settings),
    Route("PATCH", _ONE + "/settings", _patch_settings),
    Route("GET", _ONE + "/script-settings", _get_script_settings),
    Route("PATCH", _ONE + "/script-settings", _patch_script_settings),
    Route("GET", _ONE + "/schedules", _get_schedules),
    Route("PUT", _ONE + "/schedules", _put_schedules),
    Route("GET", _ONE + "/subdomain", _get_subdomain),
    Route("POST", _ONE + "/subdomain", _post_subdomain),
    Route("DELETE", _ONE + "/subdomain", _delete_subdomain),
    Route("GET", _ONE + "/deployments", _list_deployments),
    Route("GET", _ONE + "/versions", _list_versions),
    Route("GET", _ONE + "/versions/{version_id}", _get_version),
]
