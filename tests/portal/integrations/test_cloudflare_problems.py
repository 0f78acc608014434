"""What Cloudflare's refusals become for whoever asked the portal, and what is shown of the connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kit.problem import Problem
from portal.dns.schemas import Connection
from portal.integrations.cloudflare import (
    CloudflareError,
    Conflict,
    MissingPermission,
    NotFound,
    RateLimited,
    TokenRefused,
    Unreachable,
    Upstream,
)
from portal.integrations.cloudflare_problems import PERMISSION_SHOWN_FOR, ConnectionWatch, as_problem, translated

LACKING = MissingPermission("DNS", "Read", "zone home.example")
T0 = datetime(2026, 11, 22, tzinfo=UTC)
LATER = T0 + timedelta(seconds=30)

PROBLEMS: list[tuple[CloudflareError, int, str]] = [
    (TokenRefused("no"), 502, "cloudflare-token-refused"),
    (LACKING, 502, "cloudflare-permission-missing"),
    (NotFound("no"), 502, "cloudflare-refused"),
    (Conflict("no"), 409, "cloudflare-conflict"),
    (RateLimited("no", retry_in_s=29.2), 503, "cloudflare-rate-limited"),
    (RateLimited("no"), 503, "cloudflare-rate-limited"),
    (Unreachable("no"), 504, "cloudflare-silent"),
    (Upstream("no"), 502, "cloudflare-refused"),
    (Upstream("no", is_in_doubt=True), 502, "cloudflare-refused"),
]


class TestProblems:
    @pytest.mark.parametrize(("error", "status", "slug"), PROBLEMS)
    async def test_none_of_them_is_about_the_session_or_the_address_of_whoever_asked(
        self, error: CloudflareError, status: int, slug: str
    ) -> None:
        with pytest.raises(Problem) as raised:
            async with translated():
                raise error
        problem = raised.value
        assert (problem.status, problem.type, problem.detail) == (status, slug, str(error))
        assert problem.__cause__ is error
        assert problem.status not in (401, 403, 404)

    def test_permission_is_named_in_parts(self) -> None:
        assert as_problem(LACKING).extensions == {"group": "DNS", "level": "Read", "resource": "zone home.example"}

    def test_rate_limit_says_when_to_come_again(self) -> None:
        problem = as_problem(RateLimited("no", retry_in_s=29.2))
        assert (problem.headers["Retry-After"], problem.extensions["retry_in_s"]) == ("30", 29.2)
        assert as_problem(RateLimited("no")).headers == {}

    async def test_other_errors_pass(self) -> None:
        with pytest.raises(KeyError):
            async with translated():
                raise KeyError


def shown(watch: ConnectionWatch) -> tuple[str, datetime | None, str | None]:
    view = Connection(**watch.view())
    assert view.detail
    return view.state, view.since, view.permission


class TestConnection:
    def test_without_settings_they_are_named(self) -> None:
        view = ConnectionWatch(["HOMEPORT_PORTAL_CLOUDFLARE_TOKEN"]).view()
        assert (view["state"], view["settings"]) == ("not-configured", ["HOMEPORT_PORTAL_CLOUDFLARE_TOKEN"])

    def test_nothing_is_connected_that_was_not_asked(self) -> None:
        assert shown(ConnectionWatch()) == ("silent", None, None)

    def test_time_is_that_since_which_it_is_so(self) -> None:
        watch = ConnectionWatch()
        watch.ok(T0)
        watch.ok(LATER)
        assert shown(watch) == ("connected", T0, None)
        watch.failed(Unreachable("no answer"), LATER)
        watch.failed(Unreachable("no answer"), LATER + timedelta(seconds=30))
        assert shown(watch) == ("silent", LATER, None)
        watch.ok(LATER + timedelta(seconds=60))
        assert shown(watch) == ("connected", LATER + timedelta(seconds=60), None)

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (TokenRefused("no"), "refused"),
            (RateLimited("no"), "limited"),
            (Unreachable("no"), "silent"),
            (Upstream("HTTP 500", is_in_doubt=True), "silent"),
        ],
    )
    def test_failures_that_concern_everything(self, error: CloudflareError, state: str) -> None:
        watch = ConnectionWatch()
        watch.failed(error, T0)
        assert shown(watch) == (state, T0, None)

    @pytest.mark.parametrize("error", [NotFound("no"), Conflict("no"), Upstream("no")])
    def test_refusal_of_one_request_is_an_answer(self, error: CloudflareError) -> None:
        watch = ConnectionWatch()
        watch.failed(error, T0)
        assert shown(watch) == ("connected", T0, None)

    def test_limit_says_until_when(self) -> None:
        watch = ConnectionWatch()
        watch.failed(RateLimited("no", retry_in_s=60), T0)
        assert watch.view()["retry_at"] == T0 + timedelta(seconds=60)
        watch.ok(LATER)
        assert watch.view()["retry_at"] is None

    def test_missing_permission_stays_while_others_are_read(self) -> None:
        watch = ConnectionWatch()
        watch.failed(LACKING, T0)
        watch.ok(LATER, on="zone two.example")
        assert shown(watch) == ("refused", T0, "DNS Read")
        watch.ok(LATER, on="zone home.example")
        assert shown(watch)[0] == "connected"

    def test_missing_permission_that_nobody_misses_any_more_goes(self) -> None:
        watch = ConnectionWatch()
        watch.failed(LACKING, T0)
        watch.ok(T0 + PERMISSION_SHOWN_FOR)
        assert shown(watch)[0] == "connected"

    def test_several_missing_permissions_are_counted(self) -> None:
        watch = ConnectionWatch()
        watch.failed(LACKING, T0)
        watch.failed(MissingPermission("Zone WAF", "Write", "zone home.example"), T0)
        assert watch.view()["detail"] == "the token lacks the permission DNS Read for zone home.example, and 1 more"
