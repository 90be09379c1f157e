"""/healthz, /readyz and /metrics: for those who watch the instance."""

from __future__ import annotations

import hmac

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict

from a1zap.api.auth import House
from a1zap.api.house import ApiHouse
from a1zap.api.meters import Meters
from a1zap.api.problems import problem, problem_response
from a1zap.api.reading import new_router
from a1zap.api.shapes import Shape
from a1zap.db.migrate import missing_migrations
from a1zap.kit.errors import NotSignedIn, Unavailable
from a1zap.kit.settings import secret
from a1zap.queue.store import depths

router: APIRouter = new_router("instance")


class HealthShape(Shape):
    """ok."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: str


@router.get("/healthz", openapi_extra={"security": []})
async def read_health() -> HealthShape:
    """Is this process alive? Asks nobody else."""
    return HealthShape(status="ok")


@router.get("/readyz", response_model=HealthShape, openapi_extra={"security": []})
async def read_readiness(house: House) -> Response:
    """May requests be sent here? Asks the database, and whether it has this version's migrations."""
    reason = await _why_not_ready(house)
    if reason is not None:
        return problem_response(problem(503, "Not ready", reason), {"retry-after": "1"})
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus text.",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": "a1zap_live_streams_open 3.0\n"}
            },
        }
    },
    openapi_extra={"security": []},
)
async def read_metrics(request: Request, house: House) -> Response:
    """Counters and queues for Prometheus; with A1ZAP_METRICS_TOKEN set, for whoever shows it as a Bearer token."""
    _check_token(request, secret(house.settings.metrics_token))
    meters: Meters = request.app.state.meters
    try:
        async with house.db.standalone() as tx:
            for queue, (waiting, late_s) in (await depths(tx)).items():
                meters.waiting.labels(queue).set(waiting)
                meters.late_s.labels(queue).set(late_s)
    except Unavailable:
        pass  # the rest is worth reading, then above all
    return Response(meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _why_not_ready(house: ApiHouse) -> str | None:
    try:
        async with house.db.standalone() as tx:
            missing = await missing_migrations(tx.connection)
    except Unavailable as error:
        return str(error)
    except asyncpg.InsufficientPrivilegeError:
        return None  # migrated by other means, whose ledger is not ours to read; the database answers
    return f"the database lacks migrations: {', '.join(missing)}; run: a1zap migrate" if missing else None


def _check_token(request: Request, wanted: str | None) -> None:
    if wanted is None:
        return
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), wanted.encode()):
        raise NotSignedIn("show the metrics token: Authorization: Bearer …")
