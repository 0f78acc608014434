"""Why the tunnel's routes are not as somebody wants them. What Cloudflare refuses: integrations/cloudflare_problems."""

from __future__ import annotations

from kit.problem import Problem


class NoTunnel(Problem):
    """The account has no tunnel, or not the one that HOMEPORT_PORTAL_TUNNEL_ID names. docs/runbooks/tunnel.md: connect
    one."""

    status, type, title = 409, "no-tunnel", "No tunnel"


class TunnelNotChosen(Problem):
    """The account has several tunnels, listed in `tunnels`. Name the right one by its id: HOMEPORT_PORTAL_TUNNEL_ID."""

    status, type, title = 409, "tunnel-not-chosen", "Several tunnels"


class TunnelIsLocal(Problem):
    """The tunnel's configuration is a file on its host, so it can be read here and not changed. Move it to Cloudflare
    in the dashboard (Tunnels, Migrate), or edit the file."""

    status, type, title = 409, "tunnel-is-local", "Tunnel is configured on its host"


class RouteInvalid(Problem):
    """A route cannot be planned as given. `findings` has one entry for each fault: which route, which field, why."""

    status, type, title = 422, "route-invalid", "Route is not valid"


class NoSuchRoute(Problem):
    """The tunnel has no such route, or the zone no such record to a tunnel. The overview lists their names."""

    status, type, title = 404, "no-such-route", "No such route"


class HostnameTaken(Problem):
    """Another record stands at the hostname, in `record`. It is never overwritten: delete it first, or choose another
    name."""

    status, type, title = 409, "hostname-taken", "Another record stands at the hostname"


class TunnelChanged(Problem):
    """Somebody else changed the tunnel while this was at work. `detail` says what stands now; look, then plan anew."""

    status, type, title = 409, "tunnel-changed", "Tunnel was changed meanwhile"


class RoutesIncomplete(Problem):
    """Part of the plan came about, the rest did not, and the part could not be taken back. `results` says which."""

    status, type, title = 502, "routes-incomplete", "Routes were changed in part"
