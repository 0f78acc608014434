"""Users and API tokens: who may come in, and what scripts may do.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document. What needs a fresh factor asks for it on the terminal. One-time links and a token's secret are printed
once, on standard output, and stored nowhere.

`users reset` is break-glass: it needs no running portal and no login, only the portal's settings and database.
"""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_table
from portal.actor import Actor, Role
from portal.client import AsJson, Client, PortalError, Url

users = typer.Typer(no_args_is_help=True, help="Users: who may come in.", rich_markup_mode=None, add_completion=False)
tokens = typer.Typer(
    no_args_is_help=True, help="API tokens: what scripts may do.", rich_markup_mode=None, add_completion=False
)

Name = Annotated[str, typer.Argument(help="The user's name.")]


# -- users ------------------------------------------------------------------------------------------------------------


@users.command("list")
def list_users(url: Url = None, as_json: AsJson = False) -> None:
    """Show all users."""
    with Client.connect(url) as client:
        document = client.get("/api/users")
    if as_json:
        print_json(document)
        return
    rows = [
        (
            user["name"],
            user["role"],
            "disabled" if user["is_disabled"] else ", ".join(user["factors"]) or "invited",
            user["open_sessions"],
            local_time(user["last_login_at"]),
        )
        for user in document["users"]
    ]
    print_table(("NAME", "ROLE", "FACTORS", "SESSIONS", "LAST LOGIN"), rows)


@users.command("create")
def create_user(
    name: Name,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.VIEWER,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a user; print the one-time link with which the password is chosen."""
    with Client.connect(url) as client:
        _print_invited(client.post("/api/users", {"name": name, "role": role}), as_json)


@users.command("change")
def change_user(
    name: Name,
    role: Annotated[Role | None, typer.Option(help="The new role.")] = None,
    is_disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Shut out, or let in again.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change a user's role; disable, which ends the sessions and stops the tokens, or enable."""
    change = {"role": role, "is_disabled": is_disabled}
    with Client.connect(url) as client:
        document = client.patch(_path(client, name), {key: value for key, value in change.items() if value is not None})
    if as_json:
        print_json(document)
    else:
        print(f"{name}: {document['role']}, {'disabled' if document['is_disabled'] else 'enabled'}.")


@users.command("end-sessions")
def end_user_sessions(name: Name, url: Url = None) -> None:
    """End all sessions of a user."""
    with Client.connect(url) as client:
        client.delete(f"{_path(client, name)}/sessions")
    print(f"The sessions of {name} have ended.")


@users.command("delete")
def delete_user(
    name: Name,
    typed_name: Annotated[str | None, typer.Option(help="The name once more, instead of typing it.")] = None,
    url: Url = None,
) -> None:
    """Remove a user with their tokens."""
    with Client.connect(url) as client:
        path = _path(client, name)
        typed = typed_name or typer.prompt(f"This cannot be undone. Type {name} to remove the user", err=True)
        client.request("DELETE", path, parameters={"typed_name": typed})
    print(f"{name} is removed.")


@users.command("reset")
def reset_user(name: Name, as_json: AsJson = False) -> None:
    """Break-glass: take away a user's password, factors and sessions; print a one-time link for a new password.

    It works on the database itself, without the portal and without a login, and is recorded in the audit. A disabled
    user is enabled again.
    """
    from kit.clock import SystemClock
    from portal.auth.sealing import KEY_BYTES, Seal
    from portal.auth.service import Auth
    from portal.auth.site import Site
    from portal.db import Database
    from portal.settings import PortalSettings

    settings = PortalSettings.load()
    site, no_seal = Site.from_public_url(settings.public_url), Seal(os.urandom(KEY_BYTES))  # a reset opens no seal
    database = Database(settings.database)
    try:
        if not database.is_current():
            raise PortalError("the database's schema is not this version's: homeport portal migrate")
        uid = os.geteuid()
        actor = Actor("local", str(uid), f"uid {uid}", Role.ADMIN, "console", "")
        auth = Auth(database, site=site, seal=no_seal, clock=SystemClock())
        invited = auth.users.reset_by_name(actor, name)
    finally:
        database.close()
    _print_invited({"user": {"name": invited.user.name}, "invitation": invited.link}, as_json)


def _print_invited(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    print(f"{document['user']['name']} chooses a password here, once, within 72 hours:\n  {document['invitation']}")


def _path(client: Client, name: str) -> str:
    """Given a user's name, return the path of the user. Raise PortalError."""
    for user in client.get("/api/users")["users"]:
        if user["name"] == name:
            return f"/api/users/{user['id']}"
    raise PortalError(f"there is no user {name}")


# -- tokens -----------------------------------------------------------------------------------------------------------


@tokens.command("list")
def list_tokens(url: Url = None, as_json: AsJson = False) -> None:
    """Show all tokens, newest first; never their secrets."""
    with Client.connect(url) as client:
        document = client.get("/api/tokens")
    if as_json:
        print_json(document)
        return
    if not document["tokens"]:
        print("There are no tokens.")
        return
    rows = [
        (
            token["id"],
            token["name"],
            token["owner"],
            ", ".join(_scope_text(scope) for scope in token["scopes"]),
            local_time(token["expires_at"]) + ("" if token["is_usable"] else " (stopped)"),
            local_time(token["last_used_at"]),
        )
        for token in document["tokens"]
    ]
    print_table(("ID", "NAME", "OWNER", "SCOPES", "EXPIRES", "LAST USED"), rows)


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    scope: Annotated[
        list[str], typer.Option(help="ACT or ACT=RESOURCE, such as containers:restart=blog-nginx; repeatable.")
    ],
    days: Annotated[int, typer.Option(min=1, max=365, help="Days until it expires.")] = 90,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a token; print its secret, once. It acts for the administrator who confirms this."""
    form = {"name": name, "scopes": [_scope(text) for text in scope], "expires_in_days": days}
    with Client.connect(url) as client:
        document = client.post("/api/tokens", form)
    if as_json:
        print_json(document)
    else:
        print(f"{document['secret']}\n")
        print(f"Shown this once. Expires {local_time(document['token']['expires_at'])}; id {document['token']['id']}.")


@tokens.command("delete")
def delete_token(
    token_id: Annotated[str, typer.Argument(help="Id, as in `homeport tokens list`.")], url: Url = None
) -> None:
    """Remove a token; it stops at once."""
    with Client.connect(url) as client:
        client.delete(f"/api/tokens/{quote(token_id, safe='')}")
    print("The token is removed.")


def _scope(text: str) -> dict[str, str]:
    act, _, resource = text.partition("=")
    return {"act": act, "resource": resource or "*"}


def _scope_text(scope: dict[str, str]) -> str:
    return scope["act"] if scope["resource"] == "*" else f"{scope['act']}={scope['resource']}"
