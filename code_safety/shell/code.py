from code_safety.findings import Rule
from code_safety.inspection import Inspection


def inspect_bash(code: str, inspection: Inspection) -> None:
    inspection.add(Rule.NOT_ANALYSED)
