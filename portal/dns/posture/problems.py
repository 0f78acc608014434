"""What can be wrong with what is asked about the posture of mail domains."""

from __future__ import annotations

from kit.problem import Problem


class UnknownMailDomain(Problem):
    """Neither is this a mail domain of Homeport, nor a zone of the account. `homeport domain add` makes it one."""

    status, type, title = 404, "unknown-mail-domain", "Not a mail domain"


class FindingNotFixable(Problem):
    """No plan can mend these findings; `findings` names them. Their texts say what to do instead."""

    status, type, title = 409, "finding-not-fixable", "The finding has no fix"
