"""What an operator does to databases: each an operation, recorded before it begins, one per target at a time.

A new password is drawn before the operation begins, answered once beside it, and kept nowhere; it is good when the
operation has ended well. Of an account that a site works with the new password goes to the site instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.problem import Problem
from portal.actor import Actor
from portal.databases import accounts, structure
from portal.databases.accounts import Account
from portal.databases.failures import AccountProtected, DatabaseInUse
from portal.databases.pools import with_connection
from portal.databases.schemas import ChangeGrants, CreateDatabase
from portal.databases.sql import Connection
from portal.operations.progress import Progress
from portal.operations.records import Operation, Outcome
from portal.operations.recovery import Finding
from portal.operations.runner import Runner

if TYPE_CHECKING:
    from portal.databases.owners import SiteDatabase
    from portal.databases.service import DatabasesRoom

SHORT_S = 120.0
LONG_S = 13 * 3600.0
Confirm = Callable[[str], None]  # raises unless whoever asks has confirmed the act on this database


class Acts:
    """A part of DatabasesRoom."""

    def __init__(self, room: DatabasesRoom, runner: Runner) -> None:
        self._room, self._runner = room, runner

    def begin(self) -> None:
        self._runner.recheck("databases:create", self._was_created)
        self._runner.recheck("databases:drop", self._was_dropped)
        self._runner.recheck("databases:dump", self._was_dumped)
        self._runner.recheck("databases:rotate", self._was_rotated)
        self._runner.recheck("databases:grant", self._was_granted)
        self._runner.recheck("databases:load", self._was_loaded)

    async def create(self, actor: Actor, server: str, wanted: CreateDatabase) -> tuple[Operation, str, str]:
        """Begin to make a database and an account. Return the operation, the account's name and its password.

        raises   DatabaseExists, AccountExists, AccountProtected
        """
        user = wanted.account or wanted.database
        account, password = Account(user, accounts.HOST), accounts.new_password()
        if accounts.is_protected(user, self._room.ours(server)):
            raise AccountProtected(f"{user} is the server's own or Homeport's")
        await self._room.ask(server, "admin", accounts.require_free, wanted.database, account)

        async def work(progress: Progress) -> Mapping[str, Any]:
            made = await self._room.works.create(
                server, wanted.database, user, password, made_by=progress.operation_id, progress=progress
            )
            return {"database": made.database, "account": made.account}

        operation = await self._runner.start(
            actor, "databases:create", f"{server}/{wanted.database}", work, timeout_s=SHORT_S,
            detail={"account": account.name},
        )  # fmt: skip
        return operation, account.name, password

    async def rotate(self, actor: Actor, server: str, asked: str) -> tuple[Operation, str, str | None]:
        """Begin to give an account another password. Return the operation, the account, and the password or None.

        raises   NoSuchAccount, AccountProtected; DatabaseInUse for a site's account that nobody can hand it over to
        """
        account = await self._room.ask(server, "admin", accounts.account_of, asked, self._room.ours(server))
        owner = await self._site_of(server, account)
        password, hand_over = accounts.new_password(), self._room.hand_over
        if owner is not None and hand_over is None:
            raise DatabaseInUse(f"site {owner.site} works with {account.name}", used_by=[_use(owner)])
        found = self._room.servers.find(server)

        async def work(progress: Progress) -> Mapping[str, Any]:
            if owner is None or hand_over is None:
                await progress.in_thread(with_connection, found, "admin", accounts.set_password, account, password)
                return {"account": account.name}
            await progress.in_thread(with_connection, found, "admin", accounts.add_password, account, password)
            progress.note(f"both passwords hold; handing the new one to site {owner.site}")
            try:
                await hand_over(owner, password)
            except BaseException:  # who was cut off may have written it all the same: without it the site would be down
                progress.note("whether the site has taken it is not known: both passwords hold. Rotate again")
                raise
            await progress.in_thread(with_connection, found, "admin", accounts.set_password, account, password)
            return {"account": account.name, "handed_to": owner.site}

        operation = await self._runner.start(
            actor, "databases:rotate", f"{server}/account {account.name}"[:255], work, timeout_s=SHORT_S
        )
        return operation, account.name, None if owner is not None else password

    async def grant(self, actor: Actor, server: str, asked: str, wanted: ChangeGrants) -> Operation:
        """Begin to let an account do exactly these things in a database.

        raises   NoSuchAccount, AccountProtected, NoSuchDatabase
        """
        account = await self._room.ask(server, "admin", accounts.account_of, asked, self._room.ours(server))
        database = await self._room.ask(server, "admin", structure.database_of, wanted.database)
        found = self._room.servers.find(server)

        def put(connection: Connection) -> list[str]:
            databases = [each.name for each in structure.databases(connection)]
            return accounts.set_grants(connection, account, database, wanted.privileges, databases)

        async def work(progress: Progress) -> Mapping[str, Any]:
            before = await progress.in_thread(with_connection, found, "admin", put)
            return {"before": before, "after": sorted(wanted.privileges)}

        return await self._runner.start(
            actor, "databases:grant", f"{server}/account {account.name}"[:255], work, timeout_s=SHORT_S,
            detail={"database": database, "privileges": sorted(wanted.privileges)},
        )  # fmt: skip

    async def drop(self, actor: Actor, server: str, asked: str, also: Sequence[str], confirm: Confirm) -> Operation:
        """Begin to remove a database after a verified dump, and these accounts after it.

        raises   NoSuchDatabase, DatabaseInUse, NoSuchAccount, AccountProtected, what `confirm` raises
        """
        database = await self._room.ask(server, "admin", structure.database_of, asked)
        confirm(database)
        await self._require_unused(server, database)
        ours, found = self._room.ours(server), []
        for name in dict.fromkeys(also):
            account = await self._room.ask(server, "admin", accounts.account_of, name, ours)
            if (owner := await self._site_of(server, account)) is not None:
                raise DatabaseInUse(f"site {owner.site} works with {account.name}", used_by=[_use(owner)])
            found.append(account.name)

        async def work(progress: Progress) -> Mapping[str, Any]:
            await self._require_unused(server, database)  # again: now the target is ours
            dropped = await self._room.works.drop(server, database, found, progress=progress)
            return {"dump": dropped.dump, "accounts": list(dropped.accounts)}

        return await self._runner.start(
            actor, "databases:drop", f"{server}/{database}", work, timeout_s=LONG_S, detail={"accounts": found}
        )

    async def dump(self, actor: Actor, server: str, asked: str) -> Operation:
        """Begin to dump a database into the state directory. Raise NoSuchDatabase."""
        database = await self._room.ask(server, "admin", structure.database_of, asked)

        async def work(progress: Progress) -> Mapping[str, Any]:
            row = await self._room.works.keep_dump(server, database, "asked", progress=progress)
            return {"dump": row.id, "bytes": row.bytes, "tables": row.tables, "rows": row.rows}

        return await self._runner.start(actor, "databases:dump", f"{server}/{database}", work, timeout_s=LONG_S)

    async def load(
        self,
        actor: Actor,
        server: str,
        asked: str,
        path: Path,
        what: str,
        confirm: Confirm,
        *,
        then: Callable[[], None],
    ) -> Operation:
        """Begin to load a dump; a database that holds tables is confirmed first, and dumped.

        what     says in the record what is loaded
        then     is called when the load has ended well
        raises   NoSuchDatabase, what `confirm` raises
        """
        database = await self._room.ask(server, "admin", structure.database_of, asked)
        if await self._room.ask(server, "admin", structure.tables, database):
            confirm(database)

        async def work(progress: Progress) -> Mapping[str, Any]:
            loaded = await self._room.works.load(server, database, path, progress)
            then()
            return {"tables": loaded.tables, "bytes": loaded.bytes, "keeps_code": loaded.keeps_code}

        return await self._runner.start(
            actor, "databases:load", f"{server}/{database}", work, timeout_s=LONG_S, detail={"from": what}
        )

    # -- who needs it -------------------------------------------------------------------------------------------------

    async def _require_unused(self, server: str, database: str) -> None:
        try:
            owner = await self._room.owner_of(server, database)
        except Problem as problem:
            raise DatabaseInUse(f"nobody can say whether a site lives in it: {problem.title}", used_by=[]) from problem
        if owner is not None:
            raise DatabaseInUse(f"site {owner.site} lives in {server}/{database}", used_by=[_use(owner)])

    async def _site_of(self, server: str, account: Account) -> SiteDatabase | None:
        found = (each for each in await self._room.owners() if (each.server, each.account) == (server, account.user))
        return next(found, None)

    # -- what became of an act that a crash cut off -------------------------------------------------------------------

    async def _was_created(self, operation: Operation) -> Finding:
        server, _, database = operation.target.partition("/")
        made_by = await self._room.ask(server, "admin", structure.made_by, database)
        account = str(operation.detail.get("account", ""))
        listed = {each.name for each in (await self._room.accounts(server)).accounts if each.grants}
        if made_by != operation.id:
            return Finding(Outcome.NOT_DONE, "the database was not made")
        if account not in listed:
            return Finding(Outcome.UNKNOWN, f"the database is there, {account} is not or may do nothing")
        return Finding(Outcome.DONE, "the database is there; rotate the account's password, which nobody has kept")

    async def _was_dropped(self, operation: Operation) -> Finding:
        server, _, database = operation.target.partition("/")
        listed = {each.name for each in await self._room.ask(server, "admin", structure.databases)}
        is_there = database in listed
        return Finding(Outcome.NOT_DONE if is_there else Outcome.DONE, "it is there" if is_there else "it is gone")

    async def _was_dumped(self, operation: Operation) -> Finding:
        is_kept = any(row.made_by == operation.id for row in await self._room.store.all())
        return Finding(Outcome.DONE if is_kept else Outcome.NOT_DONE, "the dump is kept" if is_kept else "")

    async def _was_rotated(self, operation: Operation) -> Finding:
        return Finding(Outcome.UNKNOWN, "nobody has kept the password; what held before may hold too: rotate it again")

    async def _was_granted(self, operation: Operation) -> Finding:
        server, _, name = operation.target.partition("/account ")
        database, wanted = operation.detail.get("database"), set(operation.detail.get("privileges", ()))
        listed = (await self._room.accounts(server)).accounts
        found = next((each for each in listed if each.name == name), None)
        if found is None:
            return Finding(Outcome.UNKNOWN, "the account is gone")
        has = {privilege for grant in found.grants if database in grant.matches for privilege in grant.privileges}
        return Finding(Outcome.DONE if has == wanted else Outcome.UNKNOWN, f"it may: {', '.join(sorted(has))}"[:500])

    async def _was_loaded(self, operation: Operation) -> Finding:
        """A dump has no mark by which half of it could be told: look. What was there before is kept."""
        kept = [row.id for row in await self._room.store.all() if row.made_by == operation.id]
        return Finding(Outcome.UNKNOWN, f"a part may be there; before it there was dump {kept[0]}" if kept else "look")


def _use(owner: SiteDatabase) -> dict[str, str]:
    return {"room": "wordpress", "kind": "site", "name": owner.site, "why": "stores-in"}
