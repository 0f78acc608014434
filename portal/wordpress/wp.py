"""`wp` on one site, as its own user: a coroutine for each form that the broker allows (portal/broker/wp.py).

    said = await wp.plugin_update(site, "cache-it", version="1.2.3")
    document = await wp.inventory(site)

Nobody else in the portal asks the broker for `wp`. What it answers is judged by exit code and JSON, never by its
sentences, which are quoted as what they are: text of a program that runs other people's code. Raises WpFailed,
WpTimedOut or WpAnswerUnexpected; a BrokerProblem when it could not be asked.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from kit.problem import Problem
from portal.broker import schemas
from portal.broker.client import Broker
from portal.integrations.web_config import quoted
from portal.wordpress.sites import Site

Kind = Literal["plugin", "theme"]
Format = Literal["json", "csv", "count"]

QUICK_S = 60
UPDATE_S = 300  # a download and an unpacking
REPLACE_S = 600  # every row of a database; as long as the broker lets a program run
_KILLED = frozenset({124, 137})  # by timeout(1)
SKIP = {"skip-plugins": "", "skip-themes": ""}  # the only way into a site whose plugin fails


class WpFailed(Problem):
    """`wp` has ended with an error; `detail` quotes it, `exit_code` is its own. What it had done until then is done:
    look at the site. A plugin that fails can be deactivated, which is tried without loading any."""

    status, type, title = 502, "wp-failed", "wp has failed"


class WpTimedOut(Problem):
    """`wp` was ended because it took too long. What it had done until then is done: look at the site before trying
    again."""

    status, type, title = 504, "wp-timed-out", "wp took too long"


class WpAnswerUnexpected(Problem):
    """`wp` has ended well and said something that cannot be read: a plugin prints into its output, or it is of another
    version. Look with `homeport wordpress wp`."""

    status, type, title = 502, "wp-answer-unexpected", "wp said something unexpected"


class WpCommands:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    # -- core ---------------------------------------------------------------------------------------------------------

    async def is_installed(self, site: Site) -> bool:
        """Whether the database holds a WordPress; False also when it cannot be asked."""
        return (await self.run(site, ("core", "is-installed"))).exit_code == 0

    async def core_install(
        self, site: Site, *, title: str, login: str, email: str, password: str, locale: str | None = None
    ) -> None:
        """Fill an empty database; nothing when it holds a WordPress. No mail is sent."""
        options = {"title": title, "admin_user": login, "admin_email": email} | ({"locale": locale} if locale else {})
        await self.done(site, ("core", "install"), options=options, stdin=password, timeout_s=UPDATE_S)

    async def core_update(self, site: Site, version: str) -> None:
        """Put the files of this version in place and bring the database to it."""
        await self.done(site, ("core", "update"), options={"version": version, "force": ""}, timeout_s=UPDATE_S)
        await self.core_update_db(site)

    async def core_update_db(self, site: Site) -> None:
        await self.done(site, ("core", "update-db"), timeout_s=UPDATE_S)

    async def verify_core(self, site: Site) -> schemas.Ended:
        """Compare its files with wordpress.org's sums; exit code 0: they are equal."""
        return await self.run(site, ("core", "verify-checksums"), options=SKIP, timeout_s=UPDATE_S)

    async def verify_plugins(self, site: Site) -> schemas.Ended:
        """Likewise for all plugins; standard output is a JSON list of plugin_name, file, message."""
        options = {"all": "", "format": "json"} | SKIP
        return await self.run(site, ("plugin", "verify-checksums"), options=options, timeout_s=UPDATE_S)

    # -- plugins and themes -------------------------------------------------------------------------------------------

    async def activate(self, site: Site, kind: Kind, slug: str) -> None:
        await self.done(site, (kind, "activate"), slug)

    async def deactivate(self, site: Site, slug: str) -> None:
        """Also when loading the plugins fails: then its own farewell is not heard."""
        try:
            await self.done(site, ("plugin", "deactivate"), slug)
        except (WpFailed, WpTimedOut):
            await self.done(site, ("plugin", "deactivate"), slug, options=SKIP)

    async def install(self, site: Site, kind: Kind, what: str, *, version: str | None = None) -> None:
        """Put a plugin or theme in place, over what is there.

        what   a slug of wordpress.org, or the name of a zip file in the directory of packages
        """
        options = {"force": ""} | ({"version": version} if version else {})
        await self.done(site, (kind, "install"), what, options=options, timeout_s=UPDATE_S)

    async def update(self, site: Site, kind: Kind, slug: str, *, version: str | None = None) -> None:
        """Update to a version, or to the newest."""
        options = {"format": "json"} | ({"version": version} if version else {})
        await self.done(site, (kind, "update"), slug, options=options, timeout_s=UPDATE_S)

    async def delete(self, site: Site, kind: Kind, slug: str) -> None:
        """Remove its files, without its own uninstalling: what it keeps in the database stays."""
        await self.done(site, (kind, "delete"), slug, options=SKIP)

    # -- settings and users -------------------------------------------------------------------------------------------

    async def option(self, site: Site, name: str) -> Any:
        """Return the value of one of the options that may be read; None when there is none."""
        ended = await self.run(site, ("option", "get"), name, options={"format": "json"} | SKIP)
        if ended.exit_code == 1:  # it does not tell apart what is not there and what failed; nor need this
            return None
        return _json(self._judged(site, ("option", "get"), ended))

    async def set_option(self, site: Site, name: str, value: str) -> None:
        await self.done(site, ("option", "update"), name, value)

    async def users(self, site: Site) -> list[dict[str, Any]]:
        """Return ID, user_login, display_name, user_registered, roles of each."""
        fields = "ID,user_login,display_name,user_registered,roles"
        return await self._list(site, ("user", "list"), {"format": "json", "fields": fields} | SKIP)

    async def set_password(self, site: Site, user_id: int, password: str) -> None:
        """Give a user another password, by standard input. It ends the user's logins; no mail is sent."""
        await self.done(site, ("user", "update"), str(user_id), stdin=password, options=SKIP)

    # -- upkeep -------------------------------------------------------------------------------------------------------

    async def flush_cache(self, site: Site) -> None:
        """Empty the object cache."""
        await self.done(site, ("cache", "flush"))

    async def replace(
        self, site: Site, old: str, new: str, *, is_dry: bool, skip_columns: Sequence[str], timeout_s: int = REPLACE_S
    ) -> dict[str, int]:
        """Replace text in every table of the site, also inside serialized values, or count where it would.

        returns   `table.column` -> cells, of those where there are any
        """
        options = {"all-tables-with-prefix": "", "report-changed-only": "", "format": "table"} | SKIP
        options |= {"dry-run": ""} if is_dry else {}
        options |= {"skip-columns": ",".join(skip_columns)} if skip_columns else {}
        said = await self.done(site, ("search-replace",), old, new, options=options, timeout_s=timeout_s)
        return counts_of(said)

    async def inventory(self, site: Site, *, is_without_code: bool = False, timeout_s: int = QUICK_S) -> dict[str, Any]:
        """Return what stacks/blog/php/homeport-command.php tells of the site, as it came.

        is_without_code   load no plugin and no theme
        """
        options = SKIP if is_without_code else {}
        said = await self.done(site, ("homeport", "inventory"), options=options, timeout_s=timeout_s)
        document = _json(said[said.find("{") :])  # a plugin may print before it
        if not isinstance(document, dict):
            raise WpAnswerUnexpected("the inventory is no JSON object")
        return document

    # -- every form ---------------------------------------------------------------------------------------------------

    async def run(
        self,
        site: Site,
        command: tuple[str, ...],
        *arguments: str,
        options: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: int = QUICK_S,
    ) -> schemas.Ended:
        """Run an allowed form and return how it ended, well or not. options: a flag has the value ""."""
        request = schemas.WpCli(
            site=site.name,
            url=site.url,
            command=command,
            arguments=arguments,
            options=dict(options or {}),
            stdin=stdin,
            timeout_s=timeout_s,
        )
        return await self._broker.ask(request)

    async def done(
        self,
        site: Site,
        command: tuple[str, ...],
        *arguments: str,
        options: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: int = QUICK_S,
    ) -> str:
        """As `run`, and return standard output. Raise WpFailed or WpTimedOut."""
        ended = await self.run(site, command, *arguments, options=options, stdin=stdin, timeout_s=timeout_s)
        return self._judged(site, command, ended)

    def _judged(self, site: Site, command: tuple[str, ...], ended: schemas.Ended) -> str:
        if ended.exit_code == 0:
            return ended.stdout
        what = f"wp {' '.join(command)} on {site.name}"
        if ended.exit_code in _KILLED:
            raise WpTimedOut(what)
        said = quoted(ended.stderr) or quoted(ended.stdout)  # PHP's last words may be in either
        raise WpFailed(f"{what}: {said or 'it said nothing'}", exit_code=ended.exit_code)

    async def _list(self, site: Site, command: tuple[str, ...], options: Mapping[str, str]) -> list[dict[str, Any]]:
        said = await self.done(site, command, options=options)
        found = _json(said[said.find("[") :])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise WpAnswerUnexpected(f"wp {' '.join(command)} is no JSON list")
        return found


def counts_of(said: str) -> dict[str, int]:
    """Read what search-replace prints where no terminal is: columns between tabs, under a line of their names.

    raises   WpAnswerUnexpected
    """
    counts: dict[str, int] = {}
    has_begun = False
    for row in csv.reader(io.StringIO(said), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row[:3] == ["Table", "Column", "Replacements"]:
            has_begun = True
        elif has_begun and len(row) == 4 and row[2].isdecimal() and row[2].isascii() and int(row[2]):
            counts[f"{row[0]}.{row[1]}"[:200]] = int(row[2])
    if not has_begun and said.strip() and "\t" in said:
        raise WpAnswerUnexpected("the counts of search-replace cannot be read")
    return counts


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise WpAnswerUnexpected("it is no JSON") from error
