"""What the console refuses, and how a statement ends badly. Beside what the room's own `failures` say."""

from __future__ import annotations

from kit.problem import Problem


class ConsoleOff(Problem):
    """The console, or its write mode, can't be used on this server; `detail` says what keeps it off, mostly rights of
    the account that go further than its task. Take them back on the server, or configure the account."""

    status, type, title = 409, "console-off", "Console is off"


class StatementRefused(Problem):
    """The statement is not one that the console runs, and the server never saw it. `rule` and `position` (characters
    from 0) say what and where."""

    status, type, title = 422, "statement-refused", "Statement is not allowed"


class StatementFailed(Problem):
    """The server refused the statement; `detail` quotes it, `code` is its number, `position` where it stumbled
    (characters from 0, or null). Nothing was changed."""

    status, type, title = 422, "statement-failed", "Statement failed"


class QueryKilled(Problem):
    """The query was ended from here, by its user, by an administrator of the server, or because its client had gone."""

    status, type, title = 409, "query-killed", "Query was killed"


class NoSuchQuery(Problem):
    """No query of yours with this id is running; it has ended meanwhile."""

    status, type, title = 404, "no-such-query", "No such query"


class TooManyQueries(Problem):
    """As many queries and exports as one user may run are running. Wait for one, or kill it."""

    status, type, title = 429, "too-many-queries", "Too many queries"


class QueryIdInUse(Problem):
    """A query with this id is running. Draw another one for each query."""

    status, type, title = 409, "query-id-in-use", "Query id is in use"


class WriteNotPossible(Problem):
    """The write can't be measured and undone here, so it is not done; `rule` says why. Split the statement, or make a
    dump of the database first and use the server's own client."""

    status, type, title = 422, "write-not-possible", "Write is not possible here"


class NoSuchWrite(Problem):
    """There is no write of this id, or its time is over."""

    status, type, title = 404, "no-such-write", "No such write"


class WriteStale(Problem):
    """The rows are not as they were measured, or the measure is old. Nothing was changed; `write` is the new one."""

    status, type, title = 409, "write-stale", "Write is stale"


class WriteApplied(Problem):
    """The write is being applied or has been; `operation` says by what."""

    status, type, title = 409, "write-applied", "Write has been applied"


class WriteNotApplied(Problem):
    """There is nothing to undo: it was not applied, is taken back already, or what it saved is too old and gone."""

    status, type, title = 409, "write-not-applied", "Write is not applied"


class RowsChanged(Problem):
    """Somebody has changed the rows since the write was applied, so nothing was undone; `changed` says how many."""

    status, type, title = 409, "rows-changed", "Rows have changed since"
