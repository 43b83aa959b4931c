"""Rules about packages: those that programs name, and those that are added for later programs."""

from __future__ import annotations

from code_safety.analysis import analyse
from code_safety.findings import Rule, Severity
from hitl_contract.action import parse_action
from tests.policies.writing import action, ruled, rules, subject


def test_package_names_are_matched_one_by_one_and_an_allowing_rule_needs_all_of_them() -> None:
    given = rules(
        """
        thresholds: {automatic: high, ask: critical}
        rules:
          - name: no-miners
            match: {package: ["*miner*"]}
            then: deny
          - name: known
            match: {action: package_addition, language: python, package: [requests, "types-*", idna==3.7]}
            then: allow
          - name: big-additions
            match: {action: package_addition, when: 'packages.exists(each, each.startsWith("torch=="))'}
            then: ask
        """
    )

    def rule(*packages: str, needs: tuple[str, ...] = ()) -> str:
        what = action("package_addition", packages=list(packages), needs=list(needs))
        return ruled(given, subject(what, risk="high")).rule

    assert rule("requests==2.0", "types-six==1.0", needs=("idna==3.7",)) == "known"
    assert rule("requests==2.0", needs=("idna==3.8",)) == "ask-one-approver"
    assert rule("requests==2.0", needs=("coin-miner==1.0",)) == "no-miners"
    assert rule("rich==1.0", needs=("torch==2.0",)) == "big-additions"
    program = subject(action(packages=["Coin_Miner>=1"]))
    assert ruled(given, program).rule == "no-miners"


def test_packages_of_nodejs_are_matched_by_the_names_that_npm_has_for_them() -> None:
    given = rules(
        """
        thresholds: {automatic: critical, ask: critical}
        rules:
          - name: no-getters
            match: {package: ["lodash.get"]}
            then: deny
          - name: scoped
            match: {language: nodejs, package: ["@scope/*", lodash, left-pad@1.3.0]}
            then: allow
          - name: rest
            match: {}
            then: ask
        """
    )

    def rule(*packages: str) -> str:
        return ruled(given, subject(action(language="nodejs", packages=list(packages)))).rule

    assert rule("@scope/name@^1.2", "lodash@>=4 <5", "left-pad@1.3.0") == "scoped"
    assert rule("lodash", "left-pad@1.3.1") == "rest"
    assert rule("@other/name@1.0.0") == "rest"
    assert rule("lodash", "lodash.get@4.4.2") == "no-getters"


def test_added_packages_of_nodejs_are_matched_as_npm_names_them_and_apart_from_pythons() -> None:
    given = rules(
        """
        thresholds: {automatic: high, ask: critical}
        rules:
          - name: no-miners
            match: {package: ["*miner*"]}
            then: deny
          - name: known
            match: {action: package_addition, language: nodejs, package: ["@types/*", inner@2.0.0]}
            then: allow
          - name: pythons
            match: {action: package_addition, language: python, package: ["types-*"]}
            then: allow
        """
    )

    def rule(*packages: str, needs: tuple[str, ...] = ()) -> str:
        added = action("package_addition", language="nodejs", packages=list(packages), needs=list(needs))
        return ruled(given, subject(added, risk="high")).rule

    assert rule("@types/node@20.0.0", needs=("inner@2.0.0",)) == "known"
    assert rule("@types/node@20.0.0", needs=("inner@2.0.0", "inner@1.0.0")) == "ask-one-approver"
    assert rule("@types/node@20.0.0", needs=("@evil/coin-MINER@1.0.0",)) == "no-miners"
    assert rule("types-six@1.0.0") == "ask-one-approver"


def test_static_analysis_holds_an_addition_for_a_high_risk_whatever_its_names() -> None:
    found = analyse(parse_action(action("package_addition", packages=["six==1.16.0"])))
    assert (found.level, [one.rule for one in found.findings]) == (Severity.HIGH, [Rule.PACKAGE_ADDITION])
