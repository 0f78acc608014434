"""Who may do what: identity, sessions, factors, roles, API tokens (security.md 3.1 to 3.5, 3.11).

How a route states its permission, and the only way it can have an actor at all:

    @router.post("/{name}/restart")
    async def restart(name: str, actor: Annotated[Actor, allowed("containers:restart")]) -> ...:

`policy.py` is the one table of acts: role, step-up, typed name. `dependencies.py` is the one place that decides about a
request; `permissions.py` refuses to start an application with a route that names no act and is not on its list of
public routes. Everything below is either pure (`passwords`, `totp`, `recovery`, `throttle`, `scopes`, `site`,
`passkeys`) or one room of rules over the database (`sessions`, `logins`, `factors`, `users`, `tokens`), wired in
`service.py`.
"""
