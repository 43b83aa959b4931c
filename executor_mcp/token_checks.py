"""Steps 1 to 5 and 8 of the gate: the token, and the action that it is for. They decide nothing durable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from executor_mcp.errors import (
    ActionSourceUnavailable,
    KeySourceUnavailable,
    RefusalReason,
    Refused,
    RevocationsUnavailable,
)
from executor_mcp.issuer_actions import ActionSource
from executor_mcp.issuer_keys import IssuerKeys, named_key
from executor_mcp.refusals import from_contract, revoked
from executor_mcp.revocation_list import IssuerRevocations
from executor_mcp.revoked_tokens import RevokedTokens
from hitl_contract.action import parse_action
from hitl_contract.capability import MAX_TOKEN_BYTES
from hitl_contract.errors import InvalidAction, TokenRefused
from hitl_contract.verify import (
    VerificationPolicy,
    VerifiedCapability,
    VerifiedToken,
    bind_action,
    check_times,
    verify_token,
)
from server_kit.errors import ServerError
from server_kit.small_values import read_value


@dataclass(frozen=True)
class TokenChecks:
    """What the gate holds a token against: whom it trusts and what was withdrawn. All raise Refused."""

    verification: VerificationPolicy
    keys: IssuerKeys
    revocations: RevokedTokens
    issuer_revocations: IssuerRevocations
    actions: ActionSource

    async def verify(self, capability_token: str, *, at: float) -> VerifiedToken:
        """Steps 2 and 3, with the times judged as of `at`, in seconds since 1970."""
        try:
            keys = await self.keys.keys(named_key(capability_token))
        except KeySourceUnavailable as error:
            raise Refused(RefusalReason.KEYS_UNAVAILABLE, str(error), step=2) from error
        try:
            return verify_token(capability_token, keys=keys, policy=self.verification, now=at)
        except TokenRefused as error:
            raise from_contract(error) from error

    async def refuse_revoked(self, token: VerifiedToken) -> None:
        """Step 4, here and at the issuer."""
        try:
            withdrawn = await self.revocations.is_revoked(token.claims.token_id)
        except ServerError as error:
            raise Refused(
                RefusalReason.STORAGE_UNAVAILABLE,
                "whether the token was revoked cannot be read now; try again in a few seconds",
                step=4,
            ) from error
        if withdrawn:
            raise revoked()
        await self.refuse_withdrawn(token)

    async def refuse_withdrawn(self, token: VerifiedToken) -> None:
        """The part of step 4 that asks the issuer."""
        try:
            withdrawn = await self.issuer_revocations.is_revoked(token.claims.token_id)
        except RevocationsUnavailable as error:
            raise Refused(RefusalReason.REVOCATIONS_UNAVAILABLE, str(error), step=4) from error
        if withdrawn:
            raise revoked()

    async def bind(
        self, token: VerifiedToken, capability_token: str, action: object | None
    ) -> VerifiedCapability:
        """Step 5."""
        try:
            if action is None:
                parsed = await self.actions.action(token.claims.action_digest, token=capability_token)
            else:
                # Canonical bytes of a large action take long enough to be felt by every other caller.
                parsed = await read_value(action, parse_action)
            return await read_value(parsed, lambda whole: bind_action(token, whole))
        except ActionSourceUnavailable as error:
            raise Refused(RefusalReason.ACTION_UNAVAILABLE, str(error), step=5) from error
        except InvalidAction as error:
            raise Refused(RefusalReason.INVALID_ACTION, str(error), step=5) from error
        except TokenRefused as error:
            raise from_contract(error) from error

    def refuse_late(self, token: VerifiedToken, *, at: float) -> None:
        """The wait for a place and a sandbox may have outlasted the token."""
        try:
            check_times(token, policy=self.verification, now=at)
        except TokenRefused as error:
            raise from_contract(error) from error


def check_shape(capability_token: str, action: object | None) -> None:
    """Step 1."""
    if not 0 < len(capability_token) <= MAX_TOKEN_BYTES or not capability_token.isascii():
        detail = (
            f"capability_token must be 1 to {MAX_TOKEN_BYTES} ASCII characters, as request_approval "
            "returned it"
        )
        raise Refused(RefusalReason.INVALID_TOKEN, detail, step=1)
    if action is not None and (
        not isinstance(action, Mapping)
        or not isinstance(cast("Mapping[str, object]", action).get("type"), str)
    ):
        detail = "action must be an object with a type, exactly as it was approved; or leave it out"
        raise Refused(RefusalReason.INVALID_ACTION, detail, step=1)


def require_no_proof(token: VerifiedToken) -> None:
    """Step 8."""
    if token.claims.key_thumbprint is not None:
        detail = (
            "the token is bound to the agent's key (cnf.jkt) and this executor cannot check a proof of "
            "possession; "
            "ask for a token that is not bound to a key"
        )
        raise Refused(RefusalReason.PROOF_OF_POSSESSION_REQUIRED, detail, step=8)
