"""What can go wrong with an update before, while and after it happens."""

from __future__ import annotations

from kit.problem import Problem


class UpdateNotReady(Problem):
    """Sites cannot be updated safely here: `missing` says what is lacking, one line each. Set it, or update a single
    plugin of a single site in the WordPress room.
    """

    status, type, title = 409, "update-not-ready", "Safe updates are not set up"


class UpdateNotFound(Problem):
    """No update of many sites was begun by an operation of this id."""

    status, type, title = 404, "update-not-found", "No such update"


class NoRestorePoint(Problem):
    """No restore point could be made of the site, or it was not verified; `detail` says why. The site was not updated:
    without a point there is no way back.
    """

    status, type, title = 409, "no-restore-point", "There is no restore point"


class BackupAtWork(Problem):
    """A backup or a restore is at work. Wait for its end: what it reads must not change under it."""

    status, type, title = 409, "backup-at-work", "A backup is at work"


class UpdateHarmed(Problem):
    """An update has harmed its site, which is as it was before again; `harm` says what was seen. The rings after it
    were not begun. Look at what was updated, leave it out, and plan anew.
    """

    status, type, title = 409, "update-harmed", "An update has harmed a site"


class RollBackFailed(Problem):
    """An update has harmed its site, and going back has failed; `detail` says how far it came. The site shows visitors
    its notice of maintenance. Restore the point `point` in the backups room, then end the maintenance.
    """

    status, type, title = 502, "roll-back-failed", "The site could not be brought back"


class SiteNotFit(Problem):
    """The site is ill before any update, so nobody could tell what one does to it; `detail` says how. Heal it first."""

    status, type, title = 409, "site-not-fit", "The site is not well"


class UpdateStopped(Problem):
    """A ring did not come through whole, so those behind it were not begun. `sites` has how each site ended."""

    status, type, title = 409, "update-stopped", "The update has stopped"
