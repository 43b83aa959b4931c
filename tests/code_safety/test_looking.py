"""Tools that only look in some uses: those uses are harmless, everything near them is not."""

from __future__ import annotations

import shlex

import pytest

from code_safety.analysis import analyse
from code_safety.findings import Severity
from hitl_contract.action import parse_action


def level(command: str) -> Severity:
    return analyse(parse_action({"type": "shell_command", "argv": shlex.split(command)})).level


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get pods",
        "kubectl -n staging get pods -o wide",
        "kubectl --namespace=staging rollout status deploy/api",
        "docker compose ps",
        "gh pr view 838 --comments",
        "aws --profile reader s3 ls s3://reports/",
        "npm audit --omit=dev",
        "ruff check src",
        "black --diff src/a.py",
        "gofmt -l .",
        "terraform fmt -check -recursive",
        "shellcheck scripts/deploy.sh",
        "ss -ltnp",
        "sysctl fs.file-max",
        "printenv SHELL",
    ],
)
def test_uses_that_look_are_low(command: str) -> None:
    assert level(command) is Severity.LOW


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get secret gateway -o yaml",
        "kubectl get pods --token=abc",
        "kubectl get --raw /api/v1/namespaces",
        "kubectl -n staging delete pod api",
        "kubectl --kubeconfig /tmp/k get pods",
        "kubectl rollout restart deploy/api",
        "docker compose config",
        "docker compose down",
        "docker -H tcp://203.0.113.9:2375 ps",
        "gh api -X DELETE repos/acme/shop",
        "gh pr merge 1",
        "gh pr view 838 --web",
        "gh auth token",
        "aws s3 rm s3://reports/a",
        "aws --endpoint-url https://a.example s3 ls",
        "npm audit fix",
        "npm config get //registry.example/:_authToken",
        "ruff check --fix src",
        "ruff format src",
        "terraform fmt",
        "terraform apply",
        "sysctl kernel.core_pattern=/tmp/x",
        "sysctl -w vm.swappiness=1",
        "ss -K dst 203.0.113.9",
        "printenv",
        "printenv AWS_SECRET_ACCESS_KEY",
        "getent hosts a.b.example",
    ],
)
def test_everything_near_them_is_not(command: str) -> None:
    assert level(command) is not Severity.LOW
