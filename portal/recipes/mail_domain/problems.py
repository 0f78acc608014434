"""What a mail domain's plan, and what it stands on, can be refused for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kit.problem import Problem
from portal.edge import ownership
from portal.edge.desired import NotReady
from portal.edge.ownership import OwnershipError
from portal.edge.recipients import RecipientsError
from portal.edge.service import Unreadable
from portal.integrations.cloudflare_problems import translated
from portal.mailboxes.database import SchemaError
from portal.mailboxes.service import Refused


class MailDomainsNotReady(Problem):
    """Something is not set up without which no domain can be added. `missing` names it, one line each."""

    status, type, title = 409, "mail-domains-not-ready", "Mail domains are not set up"


class MailDomainRefused(Problem):
    """The name can be no mail domain here: a public suffix, a name below a domain, or no name. `detail` says why."""

    status, type, title = 422, "mail-domain-refused", "Not a domain for mail"


class NoSuchMailDomain(Problem):
    """The domain was not added by `homeport domain add`."""

    status, type, title = 404, "no-such-mail-domain", "No such mail domain"


class MailDomainConflict(Problem):
    """The plan stops at something of others. `conflicts` has each with its way out; plan anew when they are solved."""

    status, type, title = 409, "mail-domain-conflict", "Something is in the way"


class MailDomainOvertaken(Problem):
    """Since the plan was shown, more would have to change. What was done stays; plan again to see what is left."""

    status, type, title = 409, "mail-domain-overtaken", "Something else has changed meanwhile"


class MailDomainStepFailed(Problem):
    """A step was refused by what it stands on; `detail` has its words. What was done stays: plan again to finish."""

    status, type, title = 409, "mail-domain-step-failed", "A step was refused"


class EdgeBusy(Problem):
    """`homeport edge`, or another domain, is being changed at this moment. Try again when that has ended."""

    status, type, title = 409, "edge-busy", "The edge is being changed"


class EdgeUnreadable(Problem):
    """Cloudflare did not show all that the plan stands on; `detail` names every permission that the token lacks."""

    status, type, title = 502, "edge-unreadable", "The edge cannot be read"


class CanaryNotSent(Problem):
    """The relay did not take the canary; `detail` quotes it. All else is done: `homeport domain canary` tries again."""

    status, type, title = 502, "canary-not-sent", "The canary was not sent"


class CanaryNotSeen(Problem):
    """No canary came in within its time. `detail` says where it was last seen. All else is done; look along the way,
    then `homeport domain canary`."""

    status, type, title = 504, "canary-not-seen", "The canary has not come in"


@asynccontextmanager
async def explained() -> AsyncIterator[None]:
    """What edge, mail server's database and Cloudflare raise leaves the block as a problem."""
    try:
        async with translated():
            yield
    except ownership.EdgeBusy as error:
        raise EdgeBusy(str(error)) from error
    except NotReady as error:
        raise MailDomainsNotReady(str(error), missing=[str(error)]) from error
    except SchemaError as error:
        said = f"the mail server's database: {error}"
        raise MailDomainsNotReady(said, missing=[said]) from error
    except Unreadable as error:
        raise EdgeUnreadable(str(error)) from error
    except (OwnershipError, RecipientsError, Refused) as error:
        raise MailDomainStepFailed(str(error)) from error
