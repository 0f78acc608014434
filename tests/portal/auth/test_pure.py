"""The pure parts: passwords, one-time codes, recovery codes, throttle, seals, scopes, challenges, text of strangers."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.actor import Role
from portal.auth import recovery, totp
from portal.auth.challenges import MAX_PENDING, Challenges
from portal.auth.models import Factor
from portal.auth.passwords import MAX_CHARACTERS, Passwords, weakness
from portal.auth.plain_text import has_control_characters, visible
from portal.auth.scopes import Granted, covers
from portal.auth.sealing import KEY_BYTES, Seal, SealBroken, SealKeyRefused
from portal.auth.sessions import OpenSession
from portal.auth.throttle import DELAYS_S, FORGET_S, MAX_KEYS, Throttle, TooManyAttempts
from tests.clock import FakeClock
from tests.portal.auth.conftest import CHEAP

NOW = 1_800_000_000


class TestPasswords:
    @pytest.mark.parametrize(
        ("password", "reason"),
        [
            ("short", "too-short"),
            ("elevenchars", "too-short"),
            ("x" * (MAX_CHARACTERS + 1), "too-long"),
            ("Password2026!", "common"),
            ("P@ssw0rd123456", "common"),
            ("letmein-letmein", "common"),
            ("changeme-please1"[:12], "common"),
            ("qwertyuiop123", "common"),
            ("123456789012", "common"),
            ("aaaaaaaaaaaaaaaa", "common"),
            ("abcabcabcabcabc", "common"),
            ("correct horse battery staple", "common"),
            ("Homeport-Admin-2026", "common"),
            ("zyxwvutsrqponm", "common"),
            ("mika-mika-mika", "contains-name"),
            ("mikamika2026!", "contains-name"),
            ("with a\ttabulator", "control-characters"),
            ("with a\x00 zero byte", "control-characters"),
            ("with\u202e another direction", "control-characters"),
        ],
    )
    def test_weak_password_is_refused_with_its_reason(self, password: str, reason: str) -> None:
        assert weakness(password, "mika") == reason

    @pytest.mark.parametrize(
        "password",
        [
            "vier kleine Igel im Laub",
            "purple mountain coffee seventeen",
            "がっこうのにわのはな２つ",
            "Tr0ub4dour&3Kestrel",
            "x7#kQ2!mZp9$",
            "\uff46\uff55\uff4c\uff4c\u3000width mountain",
        ],
    )
    def test_password_of_length_is_taken_whatever_it_consists_of(self, password: str) -> None:
        assert weakness(password, "mika") is None

    async def test_password_is_verified_and_nobody_has_one(self) -> None:
        passwords = Passwords(CHEAP)
        stored = await passwords.hash("vier kleine Igel")
        assert stored.startswith("$argon2id$")
        assert await passwords.verify(stored, "vier kleine Igel")
        assert not await passwords.verify(stored, "vier kleine Esel")
        assert not await passwords.verify(None, "the password of nobody")
        assert not await passwords.verify("", "")
        assert not await passwords.verify(stored, "x" * 100_000)
        assert not await passwords.verify("not a hash", "x")

    def test_password_costs_at_least_what_is_advised(self) -> None:
        """OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB and 2 rounds, or more."""
        passwords = Passwords()
        assert passwords.needs_rehash(CHEAP.hash("x"))
        parameters = passwords._hasher
        assert (parameters.memory_cost >= 19 * 1024, parameters.time_cost >= 2) == (True, True)


class TestTotp:
    @pytest.mark.parametrize("steps", [-1, 0, 1])
    def test_code_of_a_neighbouring_step_is_right(self, steps: int) -> None:
        secret = totp.new_secret()
        code = pyotp.TOTP(secret).at(NOW + 30 * steps)
        assert totp.verify(secret, code, now=NOW, last_step=None) == NOW // 30 + steps

    @pytest.mark.parametrize("steps", [-2, 2, 100])
    def test_code_of_another_step_is_wrong(self, steps: int) -> None:
        secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
        assert totp.verify(secret, pyotp.TOTP(secret).at(NOW + 30 * steps), now=NOW, last_step=None) is None

    def test_step_that_was_accepted_is_refused_and_all_before_it(self) -> None:
        secret = totp.new_secret()
        step = NOW // 30
        for steps in (-1, 0):
            code = pyotp.TOTP(secret).at(NOW + 30 * steps)
            assert totp.verify(secret, code, now=NOW, last_step=step) is None
        assert totp.verify(secret, pyotp.TOTP(secret).at(NOW + 30), now=NOW, last_step=step) == step + 1

    def test_code_is_the_one_of_the_standard(self) -> None:
        """RFC 6238, appendix B, SHA-1, the last six of eight digits."""
        secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        assert totp.verify(secret, "081804", now=1111111109, last_step=None) == 1111111109 // 30
        assert totp.verify(secret, "081 804", now=1111111109, last_step=None) is not None

    @pytest.mark.parametrize(
        "code",
        ["", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "12345\n6", "-12345", "1e5000"],
    )
    def test_code_of_another_form_is_wrong(self, code: str) -> None:
        assert totp.verify(totp.new_secret(), code, now=NOW, last_step=None) is None


class TestRecoveryCodes:
    def test_codes_differ_and_have_enough_bits_for_a_plain_digest(self) -> None:
        codes = recovery.new_codes()
        assert len(set(codes)) == 10
        for code in codes:
            assert len(code.replace("-", "")) * 5 >= 112  # ASVS 5.0 6.5.2

    def test_code_as_typed_is_the_same_code(self) -> None:
        (code, *_) = recovery.new_codes()
        assert recovery.digest(code) == recovery.digest(f" {code.upper().replace('-', ' ')} ")


class TestThrottle:
    def test_delay_grows_to_a_minute_and_no_further(self) -> None:
        clock = FakeClock()
        throttle = Throttle(clock)
        waited: list[float] = []
        for number in range(16):
            wait = 0.0
            while True:
                try:
                    throttle.begin(account="mika", address=f"100.64.0.{number}")
                    break
                except TooManyAttempts as problem:
                    seconds = float(problem.headers["Retry-After"])
                    clock.advance(seconds)
                    wait += seconds
            waited.append(wait)
        assert waited[:5] == [0.0] * 5
        assert max(waited) <= DELAYS_S[-1]
        assert waited[-1] == DELAYS_S[-1]

    def test_quarter_of_an_hour_without_a_failure_forgets_them(self) -> None:
        clock = FakeClock()
        throttle = Throttle(clock)
        for _ in range(20):
            throttle.begin(account="mika", address="a")
            clock.advance(60)
        throttle.begin(account="mika", address="a")
        with pytest.raises(TooManyAttempts):
            throttle.begin(account="mika", address="a")
        clock.advance(FORGET_S)
        for _ in range(5):
            throttle.begin(account="mika", address="a")

    def test_success_forgets_the_accounts_failures_and_not_the_addresses(self) -> None:
        throttle = Throttle(FakeClock())
        for number in range(4):
            throttle.begin(account=f"user{number}", address="a")
        throttle.succeeded(throttle.begin(account="eve", address="a"))
        throttle.begin(account="user5", address="a")
        with pytest.raises(TooManyAttempts):
            throttle.begin(account="user6", address="a")

    def test_many_accounts_and_addresses_take_bounded_memory(self) -> None:
        throttle = Throttle(FakeClock())
        for number in range(MAX_KEYS):
            throttle.begin(account=f"user{number}", address=f"address{number}")
        assert len(throttle._failures) == MAX_KEYS

    def test_account_and_address_of_the_same_text_are_two(self) -> None:
        throttle = Throttle(FakeClock())
        for number in range(5):
            throttle.begin(account="same", address=f"a{number}")
        throttle.begin(account="other", address="same")


class TestSeal:
    def test_sealed_text_is_opened_for_its_place_only(self) -> None:
        seal = Seal(os.urandom(KEY_BYTES))
        sealed = seal.seal("JBSWY3DP", "totp of mika")
        assert "JBSWY3DP" not in sealed
        assert seal.seal("JBSWY3DP", "totp of mika") != sealed
        assert seal.open(sealed, "totp of mika") == "JBSWY3DP"
        for other, context in ((seal, "totp of kenta"), (Seal(os.urandom(KEY_BYTES)), "totp of mika")):
            with pytest.raises(SealBroken):
                other.open(sealed, context)

    def test_key_is_made_once_and_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "secret.key"
        sealed = Seal.at(path).seal("x", "y")
        assert Seal.at(path).open(sealed, "y") == "x"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each.name for each in tmp_path.iterdir()] == ["secret.key"]

    def test_key_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "secret.key"
        Seal.at(path)
        path.chmod(0o640)
        with pytest.raises(SealKeyRefused, match="chmod 600"):
            Seal.at(path)

    @pytest.mark.parametrize("content", [b"", b"changethis", bytes(31), bytes(33)])
    def test_key_of_another_length_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "secret.key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(SealKeyRefused, match="32 bytes"):
            Seal.at(path)


class TestFreshness:
    @pytest.mark.parametrize(
        ("factor", "has_second_factor", "act", "counts"),
        [
            ("passkey", True, "users:create", True),
            ("totp", True, "users:create", True),
            ("password", False, "users:create", True),
            ("password", True, "users:create", False),
            ("password", True, "account:change", False),
            ("recovery-code", True, "users:create", False),
            ("recovery-code", True, "account:change", True),
            ("recovery-code", False, "tokens:create", False),
        ],
    )
    def test_proved_factor_counts_for_five_minutes_or_not_at_all(
        self, factor: Factor, has_second_factor: bool, act: str, counts: bool
    ) -> None:
        at = datetime(2026, 11, 22, tzinfo=UTC)
        session = OpenSession("id", "user", "mika", Role.ADMIN, has_second_factor, factor, at, at, at)
        assert session.is_stepped_up(act, at + timedelta(minutes=5, microseconds=-1)) is counts
        assert not session.is_stepped_up(act, at + timedelta(minutes=5))


class TestScopes:
    @pytest.mark.parametrize(
        ("resource", "asked", "is_covered"),
        [
            ("*", "blog-nginx", True),
            ("*", "", True),
            ("blog-nginx", "blog-nginx", True),
            ("blog-nginx", "", False),
            ("blog-nginx", "blog-nginx2", False),
            ("blog-nginx", "blog", False),
            ("blog-*", "blog-nginx", False),
            ("BLOG-NGINX", "blog-nginx", False),
            ("home.example", "home.example/01PLAN", True),  # a plan of this zone
            ("home.example/01PLAN", "home.example", False),
            ("home.exampl", "home.example/01PLAN", False),
            ("01PLAN", "home.example/01PLAN", False),
            ("", "home.example", False),
        ],
    )
    def test_resource_is_compared_whole_or_with_what_it_belongs_to(
        self, resource: str, asked: str, is_covered: bool
    ) -> None:
        assert covers([Granted("containers:restart", resource)], "containers:restart", asked) is is_covered

    def test_another_act_is_not_covered(self) -> None:
        assert not covers([Granted("containers:start", "*")], "containers:restart", "x")
        assert not covers([], "containers:restart", "x")


class TestChallenges:
    def test_challenge_is_taken_once_and_in_time(self) -> None:
        clock = FakeClock()
        challenges = Challenges[int](clock, lifetime_s=300)
        first, second = challenges.put(1), challenges.put(2)
        assert challenges.look(first) == 1
        assert (challenges.take(first), challenges.take(first)) == (1, None)
        clock.advance(300)
        assert challenges.take(second) is None

    def test_pending_challenges_are_bounded(self) -> None:
        challenges = Challenges[int](FakeClock(), lifetime_s=300)
        ids = [challenges.put(number) for number in range(MAX_PENDING + 1)]
        assert (challenges.take(ids[0]), challenges.take(ids[-1])) == (None, MAX_PENDING)


class TestText:
    @pytest.mark.parametrize(
        "text", ["a\nb", "a\rb", "\x00", "\x1b[31m", "\u202e", "\u200b", "\ud800", "\u2028", "\x7f"]
    )
    def test_control_characters_are_found(self, text: str) -> None:
        assert has_control_characters(text)
        assert not has_control_characters(visible(text, characters=10))

    @pytest.mark.parametrize("text", ["", "plain", "日本語", "emoji 🦔", "ü é"])
    def test_text_that_people_write_has_none(self, text: str) -> None:
        assert not has_control_characters(text)

    @given(st.text())
    def test_what_is_made_visible_is_bounded_and_plain(self, text: str) -> None:
        shown = visible(text, characters=20)
        assert len(shown) <= 20
        assert not has_control_characters(shown)


@given(st.text(), st.text(max_size=32))
def test_weakness_of_any_text_is_a_reason_or_none(password: str, name: str) -> None:
    found: Any = weakness(password, name)
    assert found is None or isinstance(found, str)
