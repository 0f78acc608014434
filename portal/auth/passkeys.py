"""Passkeys (WebAuthn): what the browser is asked, and whether its answer holds.

A passkey with user verification is two factors in one, so it is a whole login, with no name and no password before it,
and a step-up. Verification is the library's; this module says what we demand: our RP ID and origin, a fresh challenge,
user presence and user verification, a signature counter that does not go back.

Attestation is asked for as "none": which make of authenticator somebody has is none of the portal's business.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from kit.problem import Problem
from portal.auth.site import Site

RP_NAME = "Homeport"
MAX_CREDENTIAL_ID = 1023  # WebAuthn Level 3, 4: at most 1023 bytes
Json = dict[str, Any]


class PasskeysImpossible(Problem):
    """The portal's public URL has no name that a passkey could be bound to."""

    status, type, title = 409, "passkeys-impossible", "Passkeys are impossible here"


class PasskeyRefused(Problem):
    """The authenticator's answer does not hold, or came too late."""

    status, type, title = 403, "passkey-refused", "Passkey refused"


@dataclass(frozen=True, slots=True)
class Registered:
    credential_id: str
    public_key: bytes
    sign_count: int
    is_backed_up: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """The options for the browser, and the challenge in them."""

    options: Json
    challenge: bytes


class Passkeys:
    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def are_possible(self) -> bool:
        return self._site.rp_id is not None

    def ask_to_register(self, user_id: str, user_name: str, existing: Iterable[str]) -> Asked:
        """existing: ids of the user's passkeys, so that one authenticator is not registered twice."""
        options = webauthn.generate_registration_options(
            rp_id=self._rp_id,
            rp_name=RP_NAME,
            user_id=user_id.encode(),
            user_name=user_name,
            attestation=AttestationConveyancePreference.NONE,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_descriptors(existing),
        )
        return Asked(json.loads(options_to_json(options)), options.challenge)

    def ask_to_prove(self, allowed: Iterable[str] = ()) -> Asked:
        """allowed: ids of the passkeys that may answer; none named means whichever the browser offers."""
        options = webauthn.generate_authentication_options(
            rp_id=self._rp_id,
            allow_credentials=_descriptors(allowed),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return Asked(json.loads(options_to_json(options)), options.challenge)

    def register(self, credential: Json, challenge: bytes) -> Registered:
        """Given the browser's answer, return what to store. Raise PasskeyRefused."""
        try:
            verified = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise PasskeyRefused from error
        if len(verified.credential_id) > MAX_CREDENTIAL_ID:
            raise PasskeyRefused
        return Registered(
            bytes_to_base64url(verified.credential_id),
            verified.credential_public_key,
            verified.sign_count,
            verified.credential_backed_up,
        )

    def prove(self, credential: Json, challenge: bytes, *, public_key: bytes, sign_count: int) -> int:
        """Given the browser's answer and what is stored, return the new signature counter. Raise PasskeyRefused."""
        try:
            verified = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                credential_public_key=public_key,
                credential_current_sign_count=sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            raise PasskeyRefused from error
        return verified.new_sign_count

    @property
    def _rp_id(self) -> str:
        if self._site.rp_id is None:
            raise PasskeysImpossible(f"Open the portal by a name; {self._site.base_url} is an address.")
        return self._site.rp_id

    @property
    def _origin(self) -> str:
        assert self._site.rp_origin is not None, "there is no challenge without an RP ID"
        return self._site.rp_origin


def credential_id(credential: Json) -> str:
    """The id that an answer claims; "" when it has none."""
    found = credential.get("id")
    return found if isinstance(found, str) else ""


def is_for_user(credential: Json, user_id: str) -> bool:
    """Whether the user that an answer names, if it names one, is this one (WebAuthn Level 3, 7.2 step 6)."""
    response = credential.get("response")
    handle = response.get("userHandle") if isinstance(response, dict) else None
    return handle is None or handle == bytes_to_base64url(user_id.encode())


def _descriptors(ids: Iterable[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=base64url_to_bytes(each)) for each in ids]
