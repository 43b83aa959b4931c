"""Rules and people for servers whose requests need more than one approver."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import dedent

from hitl_mcp.wiring import build_application
from tests.tools.served import PASSWORD, Template, make_template, settings_for

RULES = dedent(
    """
    rules:
      - name: two-stages
        match: {action: code_execution, when: 'action.code.contains("staged")'}
        then: ask
        because: it touches what two teams own
        ask:
          stages: [{platform: 2}, {security: 1}]
          escalation: [{after: 1, groups: [managers]}, {after: 10m, people: [cleo]}]
          timeout: 1h
      - name: reasons
        match: {action: code_execution, when: 'action.code.contains("reasoned")'}
        then: ask
        because: the auditors want to know why
        ask: {reason_required: true}
      - name: look-first
        match: {action: code_execution, when: 'action.code.contains("slowly")'}
        then: ask
        because: it cannot be undone
        ask: {minimum_review: 30s}
      - name: programs
        match: {action: code_execution, unless: 'action.code.matches("staged|reasoned|slowly")'}
        then: ask
        because: it is a program
        ask:
          conditions:
            - {name: Without the network, limits: {network.mode: none}}
            - {name: Ten seconds at most, limits: {limits.wall_seconds: 10}}
    """
)


def make_ruled_template(home: Path) -> Template:
    """Like `make_template`, with groups (platform: ada, bob; security: cleo; managers: mona) and RULES."""
    template = make_template(home)
    settings = settings_for(home)

    async def prepare() -> None:
        async with build_application(settings) as application:
            for name in ("cleo", "mona"):
                await application.people.add(name, PASSWORD)
            await application.groups.add("platform", ("ada", "bob"))
            await application.groups.add("security", ("cleo",))
            await application.groups.add("managers", ("mona",))

    asyncio.run(prepare())
    folder = home / "policies"
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(RULES)
    return template
