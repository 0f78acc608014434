"""Why the broker did not do what it was asked to, and what the portal says to its own caller then.

    BrokerProblem
     ├── BrokerUnavailable     nobody answers at the broker's socket, or it hung up
     ├── EngineUnavailable     the broker is there, the Docker engine behind it is not
     ├── BrokerBusy            it has as many connections as it takes
     ├── NoSuchContainer       none of that id carries an allowed label; a foreign one looks the same as none
     ├── ContainerProtected    needs an override; `protection` says what would go dark
     ├── EngineRefused         the engine would not, in its own words
     ├── NotAllowed            a `wp` subcommand or option that is on no list
     ├── RequestMalformed      a defect of ours: client and broker of different releases
     └── BrokerFailed          a defect of the broker; its log has the cause

One table for both sides: the server sends a `type`, the client raises the class of that type.
"""

from __future__ import annotations

from kit.problem import Problem


class BrokerProblem(Problem):
    """Base of what the broker can answer."""


class BrokerUnavailable(BrokerProblem):
    """Nobody answers at the broker's socket: it is not running, or this portal may not speak to it."""

    status, type, title = 503, "broker-unavailable", "The broker does not answer"


class EngineUnavailable(BrokerProblem):
    """The broker runs, but no Docker engine answers it."""

    status, type, title = 503, "engine-unavailable", "The Docker engine does not answer"


class BrokerBusy(BrokerProblem):
    """The broker has as many connections as it takes at once."""

    status, type, title = 503, "broker-busy", "The broker is busy"


class NoSuchContainer(BrokerProblem):
    """No container of that id carries the label homeport.stack with an allowed value."""

    status, type, title = 404, "no-such-container", "No such container"


class ContainerProtected(BrokerProblem):
    """Acts on this container take something with them; they need an override with a reason."""

    status, type, title = 409, "container-protected", "Container is protected"


class EngineRefused(BrokerProblem):
    """The engine was asked and would not; `detail` is its own text."""

    status, type, title = 502, "engine-refused", "The Docker engine refused"


class NotAllowed(BrokerProblem):
    """A subcommand, argument, option or form of secret that the broker's list does not have."""

    status, type, title = 403, "broker-not-allowed", "Not on the broker's list"


class RequestMalformed(BrokerProblem):
    """The broker could not read what the portal said."""

    status, type, title = 500, "broker-request-malformed", "The broker did not understand"


class BrokerFailed(BrokerProblem):
    """A defect of the broker. Its own log has the cause under the request's id; please report it."""

    status, type, title = 500, "broker-failed", "The broker failed"


BY_TYPE = {
    problem.type: problem
    for problem in (
        BrokerUnavailable,
        EngineUnavailable,
        BrokerBusy,
        NoSuchContainer,
        ContainerProtected,
        EngineRefused,
        NotAllowed,
        RequestMalformed,
        BrokerFailed,
    )
}
