"""Auth, wired: what `create_app` builds once and routes and dependencies find at `app.state.portal.auth`."""

from __future__ import annotations

from urllib.parse import urlsplit

from kit.clock import Clock
from portal.auth.factors import Factors
from portal.auth.logins import Logins
from portal.auth.passkeys import Passkeys
from portal.auth.passwords import Passwords
from portal.auth.proofs import Proofs
from portal.auth.refusals import Refusals
from portal.auth.sealing import Seal
from portal.auth.sessions import Sessions
from portal.auth.site import Site
from portal.auth.tokens import Tokens
from portal.auth.users import Users
from portal.db import Database


class Auth:
    def __init__(
        self, db: Database, *, site: Site, seal: Seal, clock: Clock, passwords: Passwords | None = None
    ) -> None:
        """passwords   another cost than the usual, for tests"""
        passwords = passwords or Passwords()
        self.clock, self.site = clock, site
        self.passkeys = Passkeys(site)
        self.sessions = Sessions(db, clock)
        self.tokens = Tokens(db, clock)
        self.refusals = Refusals(db, clock)
        proofs = Proofs(clock, seal, self.passkeys)
        host = urlsplit(site.base_url).hostname or ""
        self.logins = Logins(db, clock, self.sessions, passwords, self.passkeys, proofs)
        self.factors = Factors(db, clock, host, passwords, self.passkeys, seal, self.sessions)
        self.users = Users(db, clock, site, passwords, self.sessions, self.logins)
