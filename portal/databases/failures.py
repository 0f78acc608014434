"""What the databases room refuses, and what a server did not do. The room's other modules raise these."""

from __future__ import annotations

from kit.problem import Problem


class DatabasesNotConnected(Problem):
    """No database server is configured (HOMEPORT_PORTAL_DATABASES_FILE), or the file has mistakes: see `mistakes`."""

    status, type, title = 409, "databases-not-connected", "Databases are not connected"


class NoSuchServer(Problem):
    """No database server of this name is configured."""

    status, type, title = 404, "no-such-database-server", "No such database server"


class NoSuchDatabase(Problem):
    """The server lists no database of this name, or it is the server's own. Read the list again."""

    status, type, title = 404, "no-such-database", "No such database"


class NoSuchTable(Problem):
    """The database has no table or view of this name. Read the list again."""

    status, type, title = 404, "no-such-table", "No such table"


class NoSuchColumn(Problem):
    """The table has no column of this name, or it can't be sorted or filtered by. `columns` lists those that can."""

    status, type, title = 422, "no-such-column", "No such column"


class NoSuchAccount(Problem):
    """The server lists no account of this name and host."""

    status, type, title = 404, "no-such-database-account", "No such account"


class NoSuchProcess(Problem):
    """The process has ended meanwhile."""

    status, type, title = 404, "no-such-process", "No such process"


class NoSuchDump(Problem):
    """No dump of this id is kept; they are removed after their time."""

    status, type, title = 404, "no-such-dump", "No such dump"


class NoSuchUpload(Problem):
    """No upload of this id is there; they are removed after a day. Send it again."""

    status, type, title = 404, "no-such-upload", "No such upload"


class ServerUnavailable(Problem):
    """The database server can't be used now. `layer` says how far the way to it goes: name, tcp, tls, login, permission
    or answer. Nothing was changed by this request unless it was at work already."""

    status, type, title = 503, "database-server-unavailable", "Database server is unavailable"


class ServerRefused(Problem):
    """The server refused the statement, and did nothing of it; `detail` quotes it, `code` is its number."""

    status, type, title = 409, "database-server-refused", "Database server refused"


class StatementTimedOut(Problem):
    """The server ended the statement at its time limit. Narrow it: fewer rows, an indexed column, a shorter filter."""

    status, type, title = 504, "database-statement-timed-out", "Statement ran out of time"


class PurposeMissing(Problem):
    """The servers' file has no account for this purpose; `purpose` names the table to add: console, admin or write."""

    status, type, title = 409, "database-account-not-configured", "Account is not configured"


class DatabaseExists(Problem):
    """There is a database of this name already, and nothing was done to it. Choose another name."""

    status, type, title = 409, "database-exists", "Database exists"


class AccountExists(Problem):
    """There is an account of this name already, and nothing was done to it. Choose another name."""

    status, type, title = 409, "database-account-exists", "Account exists"


class DatabaseInUse(Problem):
    """A site needs it, or nobody can say whether one does; `used_by` says who. Remove that first."""

    status, type, title = 409, "database-in-use", "Database is in use"


class NotOurs(Problem):
    """It was not made by the run that wants to remove it, so it stays."""

    status, type, title = 409, "database-not-ours", "Not made by this run"


class AccountProtected(Problem):
    """It is the server's own account, or one that Homeport works with. It is changed on the server itself."""

    status, type, title = 409, "database-account-protected", "Account is protected"


class ProcessProtected(Problem):
    """It is the server's own work, or Homeport's, and is not ended from here."""

    status, type, title = 409, "process-protected", "Process is protected"


class DumpFailed(Problem):
    """The dump could not be made whole, and nothing of it was kept; `detail` quotes the reason."""

    status, type, title = 502, "dump-failed", "Dump failed"


class LoadFailed(Problem):
    """The dump was not loaded whole; `detail` quotes the reason, `dump` is what was there before."""

    status, type, title = 409, "load-failed", "Dump was not loaded"


class DumpUnreadable(Problem):
    """The file is no dump: not SQL text, cut off, or not of the compression that its first bytes say."""

    status, type, title = 422, "dump-unreadable", "Dump can't be read"


class UploadOutOfOrder(Problem):
    """The piece does not begin where the last one ended. `expected` is where to go on."""

    status, type, title = 409, "upload-out-of-order", "Upload is out of order"


class NotEnoughRoom(Problem):
    """The portal's disk has not enough room for it, and nothing was written."""

    status, type, title = 507, "not-enough-room", "Not enough room"
