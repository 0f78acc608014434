"""Bindings of a Worker, and the secrets among them."""

from __future__ import annotations

import copy

from cloudflare.types.workers.scripts import SecretUpdateParams

from tests.fakes.cloudflare.envelope import Answer, Call, Json, Refused, Route, success
from tests.fakes.cloudflare.state import Script, Version, now
from tests.fakes.cloudflare.validation import body, query

MAX_VARIABLE_BYTES = 5 * 1024
MAX_VARIABLES = 64  # Free plan
BINDING_TYPES = ("plain_text", "secret_text", "json", "r2_bucket", "kv_namespace", "send_email", "inherit")


def find(call: Call) -> Script:
    """Return the script of a request. Raise Refused."""
    script = call.state.scripts.get(call.path["script_name"])
    if script is None:
        raise Refused(404, 10007, "This Worker does not exist on your account.")
    return script


def shown(script: Script) -> list[Json]:
    """Return all bindings as answers show them: of secrets the names."""
    return [*script.bindings, *({"name": name, "type": "secret_text"} for name in sorted(script.secrets))]


def publish(script: Script) -> None:
    """Make the present state a new version, the deployed one."""
    script.modified_on = now()
    script.versions.insert(0, Version(len(script.versions) + 1, copy.deepcopy(shown(script))))


def bind(
    call: Call, given: list[Json], former: Script | None, kept_types: list[str]
) -> tuple[list[Json], dict[str, str]]:
    """Return the bindings and the secrets of a script, given those of an upload and of its former version.

    Whatever the upload doesn't say is gone, unless its type is in `keep_bindings`.
    """
    old = {} if former is None else {binding["name"]: binding for binding in former.bindings}
    old_secrets = {} if former is None else former.secrets
    plain: dict[str, Json] = {name: binding for name, binding in old.items() if binding["type"] in kept_types}
    secrets = dict(old_secrets) if "secret_text" in kept_types else {}
    seen: set[str] = set()
    for binding in given:
        name = binding["name"]
        if name in seen:
            raise Refused(400, 10021, f"Binding name {name!r} already in use. Please use a different name.")
        seen.add(name)
        plain.pop(name, None)
        secrets.pop(name, None)
        if binding["type"] == "inherit":
            source = binding.get("old_name", name)
            if source in old_secrets:
                secrets[name] = old_secrets[source]
            elif source in old:
                plain[name] = {**old[source], "name": name}
            elif call.query.get("bindings_inherit") == "strict":
                raise Refused(400, 10057, f"Binding {name!r} can't be inherited: there is no {source!r}")
            continue
        _judge_binding(call, binding)
        if binding["type"] == "secret_text":
            secrets[name] = binding["text"]
        else:
            plain[name] = binding
    if len(plain) + len(secrets) > MAX_VARIABLES:
        raise Refused(400, 10055, f"The number of bindings exceeds the limit of {MAX_VARIABLES}.")
    return list(plain.values()), secrets


def _judge_binding(call: Call, binding: Json) -> None:
    match binding["type"]:
        case "plain_text" | "secret_text":
            if len(binding["text"].encode()) > MAX_VARIABLE_BYTES:
                raise Refused(400, 10054, f"{binding['name']} exceeds the size limit of {MAX_VARIABLE_BYTES} bytes.")
        case "kv_namespace":
            if all(namespace.id != binding["namespace_id"] for namespace in call.state.namespaces):
                raise Refused(400, 10041, f"KV namespace '{binding['namespace_id']}' not found.")
        case "r2_bucket":
            if binding["bucket_name"] not in call.state.buckets:
                raise Refused(400, 10085, "workers.api.error.bucket_not_found")
        case kind:
            if kind not in BINDING_TYPES:
                raise Refused(400, 10021, f"this fake knows no bindings of type {kind}")


def _list_secrets(call: Call) -> Answer:
    query(call)
    return success([{"name": name, "type": "secret_text"} for name in sorted(find(call).secrets)])


def _put_secret(call: Call) -> Answer:
    query(call)
    given = body(call, SecretUpdateParams)
    script = find(call)
    if given["type"] != "secret_text":
        raise Refused(400, 10021, "this fake keeps only secrets of type secret_text")
    if any(binding["name"] == given["name"] for binding in script.bindings):
        raise Refused(400, 10053, f"Binding name '{given['name']}' already in use. Please use a different name.")
    _judge_binding(call, given)
    script.secrets[given["name"]] = given["text"]
    publish(script)
    return success({"name": given["name"], "type": "secret_text"})


def _secret(call: Call) -> str:
    name = call.path["secret_name"]
    if name not in find(call).secrets:
        raise Refused(404, 10056, f"Binding '{name}' not found.")
    return name


def _get_secret(call: Call) -> Answer:
    query(call, "url_encoded")
    return success({"name": _secret(call), "type": "secret_text"})


def _delete_secret(call: Call) -> Answer:
    query(call, "url_encoded")
    script = find(call)
    del script.secrets[_secret(call)]
    publish(script)
    return success(None)


_PATH = "/accounts/{account_id}/workers/scripts/{script_name}/secrets"

ROUTES = [
    Route("GET", _PATH, _list_secrets),
    Route("PUT", _PATH, _put_secret),
    Route("GET", _PATH + "/{secret_name}", _get_secret),
    Route("DELETE", _PATH + "/{secret_name}", _delete_secret),
]
