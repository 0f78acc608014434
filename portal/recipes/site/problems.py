"""What the recipes for sites can be refused for."""

from __future__ import annotations

from kit.problem import Problem


class SitesNotReady(Problem):
    """Something is not set up without which no site can be made or removed. `missing` names it, one line each."""

    status, type, title = 409, "sites-not-ready", "Sites are not set up"


class SiteConflict(Problem):
    """Something is there already that this would have to make, or is not as it must be. `conflicts` has each with its
    way out. What is there is never touched; plan anew when the way is free."""

    status, type, title = 409, "site-conflict", "Something is in the way"


class SiteStepFailed(Problem):
    """A step failed for a reason of its own; `step` says which, `detail` why. What this run had made has been taken
    back."""

    status, type, title = 502, "site-step-failed", "A step failed"


class SiteNotAnswering(Problem):
    """The site was set up and does not answer as it should; `detail` says what it answers. What this run had made has
    been taken back."""

    status, type, title = 502, "site-not-answering", "The site does not answer"


class SiteRunUnfinished(Problem):
    """A step failed, and what was done before could not be taken back; `step` and `detail` say where it stands.
    `homeport site unfinished` shows it, and finishes it or takes it back."""

    status, type, title = 409, "site-run-unfinished", "Left half done"


class NothingUnfinished(Problem):
    """No run of this id is unfinished: it has ended, is still at work, or never was."""

    status, type, title = 404, "no-unfinished-site-run", "Nothing is unfinished"
