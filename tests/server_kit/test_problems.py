"""Every error over HTTP is a problem document."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from server_kit.errors import AuditUnavailable, DatabaseUnavailable
from server_kit.problems import MEDIA_TYPE, FieldError, ProblemDetail, install_problem_handlers


class Body(BaseModel):
    count: int = Field(ge=1)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    application = FastAPI()
    install_problem_handlers(application)

    @application.post("/body")
    async def body(body: Body) -> Body:
        return body

    @application.get("/{kind}")
    async def fail(kind: str) -> None:
        errors = {
            "own": ProblemDetail(
                409,
                "already_ended",
                "it ended",
                errors=[FieldError("a", "b")],
                headers={"X-A": "1"},
                status_of="DENIED",
            ),
            "http": HTTPException(403, "not you"),
            "database": DatabaseUnavailable("the database /secret/place is full"),
            "audit": AuditUnavailable("no"),
            "bug": RuntimeError("hunter2"),
        }
        raise errors[kind]

    transport = httpx2.ASGITransport(application, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def test_a_problem_of_ours_carries_code_detail_fields_and_headers(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/own")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-a"] == "1"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "it ended",
        "code": "already_ended",
        "errors": [{"field": "a", "message": "b"}],
        "status_of": "DENIED",
    }


@pytest.mark.parametrize(
    ("sent", "field"), [({"count": 0}, "body.count"), ({"count": "x"}, "body.count"), ({}, "body.count")]
)
async def test_an_invalid_request_names_the_field_and_the_reason(
    client: httpx2.AsyncClient, sent: object, field: str
) -> None:
    answer = await client.post("/body", json=sent)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert answer.json()["code"] == "invalid_request"


async def test_an_invalid_request_does_not_repeat_what_was_sent(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/body", json={"count": "hunter2"})
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("kind", ["database", "audit"])
async def test_a_storage_that_is_down_answers_503_with_retry_after_and_no_internals(
    client: httpx2.AsyncClient, kind: str
) -> None:
    answer = await client.get(f"/{kind}")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "secret" not in answer.text


async def test_errors_of_the_framework_are_problem_documents_too(client: httpx2.AsyncClient) -> None:
    for answer, status in [(await client.get("/a/b"), 404), (await client.get("/http"), 403)]:
        assert answer.status_code == status == answer.json()["status"]
        assert answer.headers["content-type"] == MEDIA_TYPE


async def test_a_bug_answers_500_without_saying_what_it_was(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "hunter2" not in answer.text
