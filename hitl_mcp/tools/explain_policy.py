"""`explain_policy`: what the rules would say about an action."""

# No `from __future__ import annotations`: pydantic reads these annotations at run time.
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, cast

from mcp_types import ToolAnnotations
from pydantic import Field

from hitl_contract.action import action_digest, action_json_schema, parse_action, parse_action_json
from hitl_contract.errors import FieldProblem, InvalidAction
from hitl_mcp.approvals.levels import Assurance, RiskLevel
from hitl_mcp.approvals.models import Submission
from hitl_mcp.approvals.terms import RuleVerdict, Ruling
from hitl_mcp.interface.answers import AnswerModel
from hitl_mcp.interface.arguments import Arguments, InvalidArguments, Text, parse_arguments
from hitl_mcp.policies.explaining import in_words
from hitl_mcp.tools.tool import Call
from server_kit.mcp_tools import ToolDefinition

Explain = Callable[[str, Submission], Awaitable[Ruling]]
"""What the rules say about a submission by an agent of this name."""

_NOTHING_EXPLAINED: Final = "Nothing was explained, because:"


class ExplainPolicyArguments(Arguments):
    """Arguments of `explain_policy`."""

    action: Annotated[object, Field(description="What would be done, completely, as for request_approval")]
    justification: Annotated[
        Text, Field(max_length=4000, description="What you would say; some rules want it to be long enough")
    ] = ""


class QuorumAnswer(AnswerModel):
    """How many different people of a role or group have to approve."""

    group: str
    count: int


class VoteAnswer(AnswerModel):
    """What one assessor says of the risk; null when it has no opinion."""

    assessor: str
    level: RiskLevel | None


class PolicyAnswer(AnswerModel):
    """What the rules would say. Nobody was asked and nothing was kept."""

    verdict: Annotated[
        RuleVerdict,
        Field(
            description="allow: it would be approved at once. ask: people would decide. deny: it would be "
            "refused"
        ),
    ]
    rule: Annotated[str, Field(description="Name of the rule that applies")]
    explanation: Annotated[str, Field(description="Why it applies")]
    risk_level: RiskLevel
    votes: Annotated[tuple[VoteAnswer, ...], Field(description="How the assessors of the risk voted")]
    action_digest: str
    required_approvals: Annotated[int, Field(description="How many people would have to approve")]
    stages: Annotated[
        tuple[tuple[QuorumAnswer, ...], ...],
        Field(description="Who would be asked, one stage after the other"),
    ]
    required_assurance: Assurance
    timeout_seconds: Annotated[
        int | None, Field(description="How long people would have at most; null: as long as you ask for")
    ]
    next_step: Annotated[str, Field(description="What to do now")]


def explain_policy(explain: Explain) -> ToolDefinition[Call, PolicyAnswer]:
    """The tool over what explains."""

    async def run(call: Call) -> PolicyAnswer:
        arguments = parse_arguments(
            ExplainPolicyArguments, dict(call.arguments), consequence=_NOTHING_EXPLAINED
        )
        try:
            stated = arguments.action
            action = parse_action_json(stated) if isinstance(stated, str) else parse_action(stated)
        except InvalidAction as error:
            problems = tuple(FieldProblem(f"action.{each.field}", each.message) for each in error.problems)
            raise InvalidArguments(problems, consequence=_NOTHING_EXPLAINED) from None
        ruling = await explain(call.agent, Submission(action, arguments.justification))
        return _answer(ruling, action_digest(action))

    return ToolDefinition(
        name="explain_policy",
        title="See what the rules would say",
        description=(
            "Whether an action would be allowed, asked about or denied, by which rule and why. Nobody is "
            "asked and nothing is kept; call request_approval to ask."
        ),
        input_schema=_input_schema(),
        answer=PolicyAnswer,
        annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False),
        run=run,
    )


def _answer(ruling: Ruling, digest: str) -> PolicyAnswer:
    terms = ruling.terms
    return PolicyAnswer(
        verdict=ruling.verdict,
        rule=ruling.rule,
        explanation=ruling.explanation,
        risk_level=ruling.risk.level,
        # The reasons of votes may speak of other requests; an agent learns the levels.
        votes=tuple(VoteAnswer(assessor=vote.assessor, level=vote.level) for vote in ruling.risk.votes),
        action_digest=digest,
        required_approvals=terms.required_approvals,
        stages=tuple(
            tuple(QuorumAnswer(group=quorum.group, count=quorum.count) for quorum in stage.quorums)
            for stage in terms.stages
        ),
        required_assurance=terms.required_assurance,
        timeout_seconds=terms.timeout_seconds,
        next_step=f"{in_words(ruling)} {_NEXT[ruling.verdict]}",
    )


_NEXT: Final = {
    RuleVerdict.ALLOW: "Call request_approval with this action to get its capability token.",
    RuleVerdict.ASK: "Call request_approval with this action to ask them.",
    RuleVerdict.DENY: "Do not do it; look for another way, or tell your user.",
}


def _input_schema() -> dict[str, Any]:
    schema = ExplainPolicyArguments.model_json_schema()
    action = cast("dict[str, Any]", action_json_schema())
    definitions = action.pop("$defs", {})
    stated = schema["properties"]["action"]
    schema["properties"]["action"] = {**action, "description": stated["description"], "title": "Action"}
    return {**schema, "$defs": definitions}
