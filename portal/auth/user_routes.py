"""Users, API tokens and the policy table: what administrators manage, and what everybody may know about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from portal.actor import Actor, Role
from portal.auth.dependencies import Caller, GuardedRoute, allowed, auth_of, may, require_typed_name
from portal.auth.policy import POLICY
from portal.auth.schemas import (
    ActView,
    InvitedUser,
    NewToken,
    NewTokenForm,
    NewUserForm,
    PolicyView,
    TokenList,
    TokenView,
    UserChangeForm,
    UserList,
    UserView,
)
from portal.idempotency import OnceDep

router = APIRouter(prefix="/api", route_class=GuardedRoute)


@router.get("/users", tags=["users"])
async def list_users(request: Request, actor: Annotated[Actor, allowed("users:list")]) -> UserList:
    """All users, by name."""
    return UserList(users=[UserView.of(user) for user in await auth_of(request).users.list_all()])


@router.post("/users", tags=["users"], status_code=201)
async def create_user(
    request: Request, actor: Annotated[Actor, allowed("users:create")], form: NewUserForm, once: OnceDep
) -> InvitedUser:
    """Make a user, who chooses the password with the one-time link in the answer."""

    async def create() -> InvitedUser:
        return InvitedUser.of(await auth_of(request).users.create(actor, form.name, form.role))

    return await once(actor, InvitedUser, create, keep_answer=False)


@router.patch("/users/{user_id}", tags=["users"])
async def change_user(
    request: Request,
    actor: Annotated[Actor, allowed("users:change")],
    user_id: str,
    form: UserChangeForm,
    once: OnceDep,
) -> UserView:
    """Change the role; disable or enable. Disabling ends the user's sessions and stops the tokens."""

    async def change() -> UserView:
        users = auth_of(request).users
        return UserView.of(await users.change(actor, user_id, role=form.role, is_disabled=form.is_disabled))

    return await once(actor, UserView, change)


@router.post("/users/{user_id}/reset", tags=["users"])
async def reset_user(
    request: Request, actor: Annotated[Actor, allowed("users:change")], user_id: str, once: OnceDep
) -> InvitedUser:
    """Take away password, factors and sessions, and invite again with the one-time link in the answer."""

    async def reset() -> InvitedUser:
        return InvitedUser.of(await auth_of(request).users.reset(actor, user_id))

    return await once(actor, InvitedUser, reset, keep_answer=False)


@router.delete("/users/{user_id}/sessions", tags=["users"], status_code=204)
async def end_user_sessions(
    request: Request, actor: Annotated[Actor, allowed("users:change")], user_id: str, once: OnceDep
) -> None:
    """End all sessions of a user."""
    await once.without_answer(actor, lambda: auth_of(request).users.end_sessions(actor, user_id))


@router.delete("/users/{user_id}", tags=["users"], status_code=204)
async def delete_user(
    request: Request,
    actor: Annotated[Actor, allowed("users:delete")],
    user_id: str,
    once: OnceDep,
    typed_name: Annotated[str | None, Query(max_length=64, description="The user's name, typed")] = None,
) -> None:
    """Remove a user with their tokens."""

    async def delete() -> None:
        users = auth_of(request).users
        require_typed_name(await users.name_of(user_id), typed_name)
        await users.delete(actor, user_id)

    await once.without_answer(actor, delete)


@router.get("/tokens", tags=["tokens"])
async def list_tokens(request: Request, actor: Annotated[Actor, allowed("tokens:list")]) -> TokenList:
    """All API tokens, expired ones too, newest first."""
    return TokenList(tokens=[TokenView.of(token) for token in await auth_of(request).tokens.list_all()])


@router.post("/tokens", tags=["tokens"], status_code=201)
async def create_token(
    request: Request, actor: Annotated[Actor, allowed("tokens:create")], form: NewTokenForm, once: OnceDep
) -> NewToken:
    """Make a token that acts for whoever asks. Its secret is in this answer and nowhere else."""
    caller: Caller = request.state.caller

    async def create() -> NewToken:
        lifetime = timedelta(days=form.expires_in_days)
        tokens = auth_of(request).tokens
        token, secret = await tokens.create(actor, caller.person_id, form.name, form.scopes, lifetime)
        return NewToken(token=TokenView.of(token), secret=secret)

    return await once(actor, NewToken, create, keep_answer=False)


@router.delete("/tokens/{token_id}", tags=["tokens"], status_code=204)
async def delete_token(
    request: Request, actor: Annotated[Actor, allowed("tokens:delete")], token_id: str, once: OnceDep
) -> None:
    """Remove a token; it stops at once."""
    await once.without_answer(actor, lambda: auth_of(request).tokens.delete(actor, token_id))


@router.get("/policy", tags=["policy"])
async def read_policy(request: Request, actor: Annotated[Actor, allowed("policy:read")]) -> PolicyView:
    """The policy table, and what of it whoever asks may do."""
    caller: Caller = request.state.caller
    acts = [
        ActView(
            name=act.name,
            role=act.role,
            kind=act.kind,
            step_up=act.step_up,
            typed_name=act.typed_name,
            is_token_allowed=act.is_token_allowed,
            is_permitted=may(caller, act),
        )
        for act in POLICY.values()
    ]
    return PolicyView(roles=list(Role), acts=acts)
