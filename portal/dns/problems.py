"""What can be wrong with what is asked of the DNS room. Of Cloudflare itself: integrations/cloudflare_problems.py."""

from __future__ import annotations

from kit.problem import Problem


class NoSuchZone(Problem):
    """The account has no zone of this name, or the token may not see it."""

    status, type, title = 404, "no-such-zone", "No such zone"


class NoSuchRecord(Problem):
    """The zone has no record of this key. Read the zone again: somebody may have changed or removed it."""

    status, type, title = 404, "no-such-record", "No such record"


class RecordInvalid(Problem):
    """Nothing was planned. `edits` has one entry for each edit that is wrong: its `index`, and its `problems`."""

    status, type, title = 422, "record-invalid", "A record is not valid"


class RecordLocked(Problem):
    """Email Routing keeps these records; `names` says which. Change Email Routing instead."""

    status, type, title = 409, "record-locked", "The record is locked"


class ImportInvalid(Problem):
    """The file has lines that can't be read, and a zone is not made equal to half a file. `problems` says which lines.

    Correct them, or merge the file: then these lines are left out.
    """

    status, type, title = 422, "import-invalid", "The file is not valid"


class DnsChangeRefused(Problem):
    """Cloudflare refused the changes, and none of them was made; `detail` quotes it. Plan again without the cause."""

    status, type, title = 409, "dns-change-refused", "Cloudflare refuses the change"


class DnsApplyReverted(Problem):
    """A transaction in the middle of the plan failed; those before it were put back. The zone is as it was."""

    status, type, title = 409, "dns-apply-reverted", "The changes were put back"


class DnsApplyUnfinished(Problem):
    """Some of the plan's transactions are at Cloudflare, others are not. Finish or revert it on the zone's page."""

    status, type, title = 409, "dns-apply-unfinished", "The changes are half made"


class NothingUnfinished(Problem):
    """There is no half applied plan of this operation in this zone: it was finished or reverted meanwhile."""

    status, type, title = 404, "nothing-unfinished", "Nothing is unfinished"
