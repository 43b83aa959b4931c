"""The golden vectors of tests/vectors, against which other implementations can check themselves."""

import json
from pathlib import Path
from typing import Any

import pytest

from hitl_contract.action import action_digest, canonical_action, parse_action
from hitl_contract.audit_chain import checkpoint_from_json, entry_from_json, genesis_hash
from hitl_contract.audit_verification import verify_chain
from hitl_contract.capability import claims_to_json
from hitl_contract.display import render_action
from hitl_contract.errors import InvalidAction, TokenRefused
from hitl_contract.keys import PublicKeys
from hitl_contract.verify import VerificationPolicy, verify_capability, verify_token

FOLDER = Path(__file__).parent.parent / "vectors"


def load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


ACTIONS, TOKENS, CHAINS = load("actions"), load("capability_tokens"), load("audit_chain")


@pytest.mark.parametrize("vector", ACTIONS["vectors"], ids=lambda vector: vector["digest"][8:16])
def test_an_action_has_the_bytes_digest_and_display_of_its_vector(vector: dict[str, Any]) -> None:
    action = parse_action(vector["action"])
    display = render_action(action)
    assert canonical_action(action).decode() == vector["canonical"]
    assert action_digest(action) == vector["digest"]
    assert (display.text, display.digest) == (vector["display"], vector["display_digest"])


@pytest.mark.parametrize("vector", ACTIONS["refused"], ids=lambda vector: vector["field"])
def test_a_bad_action_is_refused_for_the_field_of_its_vector(vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidAction) as caught:
        parse_action(vector["action"])
    assert vector["field"] in {problem.field for problem in caught.value.problems}


@pytest.mark.parametrize("vector", TOKENS["vectors"], ids=lambda vector: vector["name"])
def test_a_token_has_the_outcome_of_its_vector(vector: dict[str, Any]) -> None:
    policy = VerificationPolicy(TOKENS["issuer"], TOKENS["audience"], TOKENS["leeway_seconds"])
    keys, action = PublicKeys.from_jwks(TOKENS["jwks"]), parse_action(TOKENS["action"])
    try:
        verify_capability(vector["token"], action, keys=keys, policy=policy, now=TOKENS["now"])
        outcome = "valid"
    except TokenRefused as error:
        outcome = error.code.value
    assert outcome == vector["outcome"]


def test_the_good_token_carries_the_claims_written_down() -> None:
    policy = VerificationPolicy(TOKENS["issuer"], TOKENS["audience"], TOKENS["leeway_seconds"])
    good = next(vector["token"] for vector in TOKENS["vectors"] if vector["outcome"] == "valid")
    verified = verify_token(good, keys=PublicKeys.from_jwks(TOKENS["jwks"]), policy=policy, now=TOKENS["now"])
    assert claims_to_json(verified.claims) == TOKENS["claims"]


@pytest.mark.parametrize("vector", CHAINS["vectors"], ids=lambda vector: vector["name"])
def test_a_chain_shows_the_problems_of_its_vector(vector: dict[str, Any]) -> None:
    assert genesis_hash(CHAINS["chain"]) == CHAINS["genesis_hash"]
    report = verify_chain(
        [entry_from_json(entry) for entry in vector["entries"]],
        chain=CHAINS["chain"],
        checkpoints=[checkpoint_from_json(mark) for mark in vector["checkpoints"]],
        keys=PublicKeys.from_jwks(CHAINS["jwks"]),
    )
    assert sorted({problem.kind.value for problem in report.problems}) == vector["problems"]
