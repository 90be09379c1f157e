"""The door that providers knock on. No pydantic and no dependency here: this is the hot path.

Size and time are bounded by the edge; then: whose is it, is it authentic (over the raw bytes), what does it say,
store it, 2xx. Nothing is interpreted before it is proved, nothing is answered with 2xx before it is durable.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from a1zap.api.bodies import read_body
from a1zap.api.house import ApiHouse
from a1zap.channels.contract import Posted
from a1zap.intake.receive_webhook import (
    MESSAGING_KIND,
    Delivery,
    answer_challenge,
    find_account,
    receive_for_account,
    receive_for_agent,
    receive_for_kind,
)

MESSAGING_PATH = "/api/webhooks/messaging"
ACCOUNT_PATH = "/api/webhooks/{channel_account_id}"

_SUCCESS = b'{"success":true}'
_NO_AGENT = b'{"error":"Agent ID required"}'


def webhook_routes() -> list[Route]:
    return [
        Route(MESSAGING_PATH, _receive_messaging, methods=["POST"]),
        Route(ACCOUNT_PATH, _receive_for_account, methods=["POST"]),
        Route(ACCOUNT_PATH, _answer_challenge, methods=["GET"]),
    ]


async def _receive_messaging(request: Request) -> Response:
    house, began_s = _begin(request, MESSAGING_PATH)
    agent_id = request.headers.get("x-agent-id")
    if not agent_id:
        return Response(_NO_AGENT, 400, media_type="application/json")
    async with _delivery(request, began_s, house.channels[MESSAGING_KIND].body_max) as delivery:
        await receive_for_agent(house, request.app.state.owners, agent_id, delivery)
    return Response(_SUCCESS, media_type="application/json")


async def _receive_for_account(request: Request) -> Response:
    house, began_s = _begin(request, ACCOUNT_PATH)
    name: str = request.path_params["channel_account_id"]
    channel = house.channels.get(name)
    if channel is not None:  # the address of a whole kind: all numbers of one app
        async with _delivery(request, began_s, channel.body_max) as delivery:
            await receive_for_kind(house, name, delivery)
        return Response(_SUCCESS, media_type="application/json")
    # Whose it is decides how much may come, so that is asked before the body is read.
    found = await find_account(house, name)
    async with _delivery(request, began_s, house.channels[found.kind].body_max) as delivery:
        await receive_for_account(house, house.egress, found, delivery)
    return Response(_SUCCESS, media_type="application/json")


async def _answer_challenge(request: Request) -> Response:
    """A provider asks whether this address is ours; it wants its own word back, as plain text."""
    house, _ = _begin(request, ACCOUNT_PATH)
    name: str = request.path_params["channel_account_id"]
    if name == MESSAGING_PATH.rpartition("/")[2]:
        raise HTTPException(405, headers={"allow": "POST"})
    is_kind = name in house.channels
    said = await answer_challenge(
        house, None if is_kind else name, name if is_kind else None, request.query_params
    )
    return Response(said, media_type="text/plain", headers={"content-security-policy": "sandbox"})


def _begin(request: Request, path: str) -> tuple[ApiHouse, float]:
    request.scope["route"] = SimpleNamespace(path=path)  # for the meters, as FastAPI's own routes have it
    house: ApiHouse = request.app.state.house
    return house, house.clock.monotonic_s()


@asynccontextmanager
async def _delivery(request: Request, began_s: float, bytes_max: int) -> AsyncGenerator[Delivery]:
    async with read_body(request, bytes_max) as raw:
        yield Delivery(Posted(request.headers, raw, request.query_params), began_s)


_PROBLEM: dict[str, Any] = {
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemShape"}}}
}


_A1BASE_BODY: dict[str, Any] = {
    "thread_id": "chat_123456789",
    "message_id": "msg_987654321",
    "thread_type": "individual",
    "sender_number": "+61400123456",
    "sender_name": "Jane",
    "a1_account_id": "your-account",
    "timestamp": "2026-11-23T09:15:00+00:00",
    "service": "whatsapp",
    "message_type": "text",
    "is_from_agent": False,
    "message_content": {"text": "When are you open on Saturdays?"},
}
_A1BASE_SIGNATURE: list[dict[str, Any]] = [
    {
        "name": name,
        "in": "header",
        "required": True,
        "schema": {"type": "string"},
        "description": what,
        "example": example,
    }
    for name, what, example in (
        ("x-timestamp", "Seconds since 1970; at most five minutes away from now.", "1763889300"),
        (
            "x-signature",
            "hex(HMAC-SHA256(api_secret, x-timestamp + raw body))",
            "9f86d081884c7d659a2feaa0c55ad015",
        ),
    )
]
_HOW_SIGNED = (
    "Each kind of channel is proved by its provider's own rule, over the raw bytes: **a1base** x-timestamp and "
    "x-signature; **whatsapp** X-Hub-Signature-256; **webhook** Standard Webhooks (webhook-id, webhook-timestamp, "
    "webhook-signature); **email** as its way in does (Postmark: Basic; Mailgun: its body's signature; SendGrid: ECDSA; "
    "SES: SNS; Resend: Svix; A1Mail; raw: HMAC). In place of a channel's id, a kind's name (whatsapp) is the address "
    "for all accounts of one app."
)


def _operation(operation_id: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "tags": ["webhooks"],
        "operationId": operation_id,
        "summary": summary,
        "security": [],
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}, "example": _A1BASE_BODY}},
        },
        "responses": {
            "200": {
                "description": "Stored; it will be answered.",
                "content": {"application/json": {"schema": {"type": "object"}, "example": {"success": True}}},
            },
            "401": {
                "description": "The signature does not prove that the provider sent this just now.",
                **_PROBLEM,
            },
            "413": {"description": "More bytes than a delivery of this kind may have.", **_PROBLEM},
            "503": {
                "description": "No secret is configured to check it with; or try again later.",
                **_PROBLEM,
            },
        },
    }


def webhook_descriptions() -> dict[str, Any]:
    """These operations, for the API's description: FastAPI does not know of them."""
    agent = {
        "name": "x-agent-id",
        "in": "header",
        "required": True,
        "schema": {"type": "string"},
        "description": "Which agent; that it is true, the signature says.",
        "example": "0193b1a2-6c1e-7d3f-9a44-0b6e7c9d1f20",
    }
    account = {"name": "channel_account_id", "in": "path", "required": True, "schema": {"type": "string"}}
    messaging = _operation(
        "receive_messaging_webhook", "A1Base delivers a message for an agent", [agent, *_A1BASE_SIGNATURE]
    )
    messaging["responses"]["400"] = {
        "description": "No x-agent-id.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": {"error": "Agent ID required"}}
        },
    }
    to_account = _operation("receive_webhook", "A provider delivers to one channel's own address", [account])
    to_account["description"] = _HOW_SIGNED
    to_account["responses"]["404"] = {"description": "There is no such webhook.", **_PROBLEM}
    return {
        MESSAGING_PATH: {"post": messaging},
        ACCOUNT_PATH: {"post": to_account, "get": _challenge_operation(account)},
    }


def _challenge_operation(account: dict[str, Any]) -> dict[str, Any]:
    query = [
        {"name": name, "in": "query", "required": True, "schema": {"type": "string"}, "example": example}
        for name, example in (
            ("hub.mode", "subscribe"),
            ("hub.verify_token", "your-verify-token"),
            ("hub.challenge", "1158201444"),
        )
    ]
    return {
        "tags": ["webhooks"],
        "operationId": "answer_webhook_challenge",
        "summary": "A provider (Meta) asks whether this address is ours",
        "security": [],
        "parameters": [account, *query],
        "responses": {
            "200": {
                "description": "Its own word back.",
                "content": {"text/plain": {"schema": {"type": "string"}, "example": "1158201444"}},
            },
            "403": {"description": "The question proves nothing.", **_PROBLEM},
            "404": {"description": "There is no such webhook.", **_PROBLEM},
        },
    }
