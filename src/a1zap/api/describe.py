"""The API's description (OpenAPI): what FastAPI knows, what it does not, and an example of everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from a1zap.api.auth import VISITOR_COOKIE
from a1zap.api.problems import PROBLEM_TYPE
from a1zap.api.shapes import ProblemShape
from a1zap.api.webhooks import webhook_descriptions

TITLE = "a1zap"
SUMMARY = "Self-hosted, multi-agent messaging: every message stored durably, answered once, in order."
DESCRIPTION = """\
Ids are UUIDs, times are ISO 8601 in UTC. Lists come newest first, with `Link: rel="next"` where there is more.
Every error is problem+json (RFC 9457) and names the field it is about.
What you may not see answers like what does not exist: 404, with the same bytes.
"""

_SECURITY_SCHEMES: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`a1z_…`), an access token of Stack Auth's, or a visitor's token (`a1v_…`).",
    },
    "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "stack_access_token": {"type": "apiKey", "in": "header", "name": "x-stack-access-token"},
    "session": {"type": "apiKey", "in": "cookie", "name": "a1zap_session"},
    "visitor": {
        "type": "apiKey",
        "in": "cookie",
        "name": VISITOR_COOKIE,
        "description": "Public agents' chats only.",
    },
}
_TAGS = (
    ("chat", "Say something to an agent, and have its answer."),
    ("chats", "What was said, live and afterwards; people take chats over and give them back."),
    ("files", "Files that go with messages."),
    ("agents", "What agents are and how they answer."),
    ("channels", "The numbers and endpoints that agents are reached by."),
    ("knowledge", "The articles that agents answer from."),
    ("keys", "What programs show instead of a password."),
    ("account", "Plan, usage, audit trail, dead letters."),
    ("sign-in", "Local accounts."),
    ("visitors", "People on the pages of public agents."),
    ("webhooks", "Where providers deliver."),
    ("webhook endpoints", "Your own addresses, which are told what happens, signed."),
    ("instance", "For those who watch the instance."),
)


def describe(app: FastAPI) -> dict[str, Any]:
    """The description, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=TITLE,
            version=app.version,
            summary=SUMMARY,
            description=DESCRIPTION,
            routes=app.routes,
            tags=[{"name": name, "description": what} for name, what in _TAGS],
        )
        found["paths"] |= webhook_descriptions()
        components = found.setdefault("components", {})
        components.setdefault("schemas", {})["ProblemShape"] = ProblemShape.model_json_schema()
        components["securitySchemes"] = _SECURITY_SCHEMES
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        found["security"] = [{name: []} for name in _SECURITY_SCHEMES]
        for operation in _operations(found):
            _add_problems(operation)
            _add_examples(operation, components["schemas"])
        app.openapi_schema = found
    return app.openapi_schema


def _operations(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in found["paths"].values():
        yield from path.values()


def _add_problems(operation: dict[str, Any]) -> None:
    """Errors have one form everywhere; FastAPI describes another for validation, which never leaves this house."""
    operation["responses"].pop("422", None)
    schema = {"$ref": "#/components/schemas/ProblemShape"}
    example: Any = ProblemShape.model_json_schema()["examples"][0]
    operation["responses"]["default"] = {
        "description": "Refused, or failed: problem+json (RFC 9457).",
        "content": {PROBLEM_TYPE: {"schema": schema, "example": example}},
    }


def _add_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Each body's example stands beside its schema; here it is put where readers look for it."""
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    for body in bodies:
        for content in body.get("content", {}).values():
            example = _example_of(content.get("schema", {}), schemas)
            if "example" not in content and example is not None:
                content["example"] = example


def _example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    if schema.get("type") == "array":
        inner = _example_of(schema.get("items", {}), schemas)
        return None if inner is None else [inner]
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    examples = schemas.get(name, schema).get("examples")
    return examples[0] if examples else None
