"""What can go wrong with the mail of sites."""

from __future__ import annotations

from kit.problem import Problem


class SiteMailNotReady(Problem):
    """Sites cannot send mail yet, or a test cannot be looked for: `missing` says what is not set, one line each."""

    status, type, title = 409, "site-mail-not-ready", "Mail of sites is not set up"


class SiteMailConflict(Problem):
    """An address that a site would send as is somebody's already, or cannot be had; `conflicts` names each. Choose
    another domain, or give the address free.
    """

    status, type, title = 409, "site-mail-conflict", "An address is taken"


class SiteMailNotConfigured(Problem):
    """The site sends no mail through our server, so there is nothing to test. Configure it first."""

    status, type, title = 409, "site-mail-not-configured", "The site's mail is not configured"


class SiteMailNotSent(Problem):
    """WordPress could not hand the message over; `detail` quotes it. The account, the way to the submission server, or
    a plugin that sends mail by itself: look there, then test again.
    """

    status, type, title = 502, "site-mail-not-sent", "The site could not send"


class SiteMailNotSeen(Problem):
    """The site has handed its message over, and it was not in its mailbox in time. Look along the way: the submission
    server's queue and log, then test again.
    """

    status, type, title = 504, "site-mail-not-seen", "The message has not arrived"
