"""What goes in and out of auth's routes. Nothing that goes out, except where its docstring says so, is a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints, model_validator

from portal.actor import Role
from portal.auth import factors, tokens, users
from portal.auth.logins import SecondFactor
from portal.auth.models import Factor
from portal.auth.plain_text import Label, UserName
from portal.auth.policy import Kind, When
from portal.auth.scopes import Scope
from portal.auth.tokens import MAX_DAYS


class Form(BaseModel):
    """A request's body: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


def _as_typed(name: object) -> object:
    """Telephones begin with a capital and end with a space."""
    return name.strip().lower() if isinstance(name, str) else name


TypedName = Annotated[UserName, BeforeValidator(_as_typed)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Ticket = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Credential = Annotated[
    dict[str, Any], Field(description="PublicKeyCredential.toJSON()", json_schema_extra={"type": "object"})
]


# -- login ------------------------------------------------------------------------------------------------------------


class SetupForm(Form):
    token: Ticket
    name: TypedName
    password: Password


class InvitationForm(Form):
    token: Ticket
    password: Password


class LoginForm(Form):
    name: TypedName
    password: Password


class CodeForm(Form):
    login: Ticket
    code: Code


class PasskeyForm(Form):
    challenge_id: Ticket
    credential: Credential


class StepUpForm(Form):
    """One of `password`, `totp` and `credential` with `challenge_id`. `name` belongs to the admin socket alone."""

    name: TypedName | None = None
    password: Password | None = None
    totp: Code | None = None
    challenge_id: Ticket | None = None
    credential: Credential | None = None

    @model_validator(mode="after")
    def _is_one_factor(self) -> Self:
        if sum(factor is not None for factor in (self.password, self.totp, self.credential)) != 1:
            raise ValueError("needs one of password, totp and credential")
        if (self.credential is None) != (self.challenge_id is None):
            raise ValueError("credential and challenge_id belong together")
        return self


class CurrentUser(BaseModel):
    id: str
    name: str
    role: Role


class CurrentSession(BaseModel):
    """step_up_until   until when no further factor is asked for; None if the next act that needs one asks"""

    id: str
    factor: Factor
    created_at: datetime
    ends_at: datetime
    step_up_until: datetime | None


class SessionView(BaseModel):
    """Who is logged in, if anybody. The session's id names it and opens nothing.

    is_demo   what this portal shows is made up, and every page says so
    """

    state: Literal["logged-in", "anonymous", "setup-needed"]
    user: CurrentUser | None = None
    session: CurrentSession | None = None
    has_second_factor: bool = False
    passkeys_possible: bool
    is_demo: bool = False


class SecondFactorView(BaseModel):
    """`login` is the ticket that the second factor is sent with. It is no session."""

    state: Literal["second-factor-needed"] = "second-factor-needed"
    login: str
    factors: list[SecondFactor]


class PasskeyOptions(BaseModel):
    """`options` is for `PublicKeyCredential.parse…OptionsFromJSON`."""

    challenge_id: str
    options: dict[str, Any]


class StepUpTicket(BaseModel):
    """The local administrator's: a secret, sent as `Homeport-Step-Up` for five minutes."""

    ticket: str
    name: str


# -- account ----------------------------------------------------------------------------------------------------------


class PasswordForm(Form):
    current: Password
    new: Password


class TotpForm(Form):
    enrolment: Ticket
    code: Code


class NewPasskeyForm(PasskeyForm):
    name: Label


class TotpEnrolment(BaseModel):
    """The secret for an authenticator app, shown until it is confirmed. `qr_svg` is an SVG document of `uri`."""

    enrolment: str
    secret: str
    uri: str
    qr_svg: str


class RecoveryCodes(BaseModel):
    """New codes, shown once; None if the account has some already."""

    recovery_codes: list[str] | None


class TotpView(BaseModel):
    enrolled_at: datetime


class PasskeyView(BaseModel):
    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    is_backed_up: bool


class OpenSessionView(BaseModel):
    id: str
    created_at: datetime
    seen_at: datetime
    source: str
    agent: str
    factor: Factor
    is_current: bool


class AccountView(BaseModel):
    id: str
    name: str
    role: Role
    has_password: bool
    totp: TotpView | None
    passkeys: list[PasskeyView]
    recovery_codes_left: int
    sessions: list[OpenSessionView]

    @classmethod
    def of(cls, account: factors.Account, current: str) -> Self:
        """current   id of the session that asks"""
        user = account.user
        return cls(
            id=user.id,
            name=user.name,
            role=Role(user.role),
            has_password=user.password_hash is not None,
            totp=TotpView(enrolled_at=user.totp_enrolled_at) if user.totp_enrolled_at else None,
            passkeys=[PasskeyView.model_validate(row, from_attributes=True) for row in account.passkeys],
            recovery_codes_left=account.recovery_codes_left,
            sessions=[
                OpenSessionView(
                    id=row.id,
                    created_at=row.created_at,
                    seen_at=row.seen_at,
                    source=row.source,
                    agent=row.agent,
                    factor=row.factor,
                    is_current=row.id == current,
                )
                for row in account.sessions
            ],
        )


# -- users ------------------------------------------------------------------------------------------------------------


class NewUserForm(Form):
    name: TypedName
    role: Role


class UserChangeForm(Form):
    """Only what is given is changed."""

    role: Role | None = None
    is_disabled: bool | None = None


class UserView(BaseModel):
    id: str
    name: str
    role: Role
    is_disabled: bool
    factors: list[str]
    created_at: datetime
    last_login_at: datetime | None
    open_sessions: int

    @classmethod
    def of(cls, user: users.User) -> Self:
        return cls.model_validate(user, from_attributes=True)


class UserList(BaseModel):
    users: list[UserView]


class InvitedUser(BaseModel):
    """The link is a secret, shown once: whoever opens it first chooses the password."""

    user: UserView
    invitation: str

    @classmethod
    def of(cls, invited: users.Invited) -> Self:
        return cls(user=UserView.of(invited.user), invitation=invited.link)


# -- tokens -----------------------------------------------------------------------------------------------------------


class NewTokenForm(Form):
    name: Label
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=100)]
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS)]


class ScopeView(BaseModel):
    act: str
    resource: str


class TokenView(BaseModel):
    id: str
    name: str
    owner: str
    scopes: list[ScopeView]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    last_used_source: str | None
    is_usable: bool

    @classmethod
    def of(cls, token: tokens.Token) -> Self:
        return cls.model_validate(token, from_attributes=True)


class TokenList(BaseModel):
    tokens: list[TokenView]


class NewToken(BaseModel):
    """The secret is shown once: only its digest is kept."""

    token: TokenView
    secret: str


# -- policy -----------------------------------------------------------------------------------------------------------


class ActView(BaseModel):
    """One line of the policy table. `is_permitted`: to whoever asks, by role or scope."""

    name: str
    role: Role
    kind: Kind
    step_up: When
    typed_name: When
    is_token_allowed: bool
    is_permitted: bool


class PolicyView(BaseModel):
    roles: list[Role]
    acts: list[ActView]
