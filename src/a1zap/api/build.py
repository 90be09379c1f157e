"""The HTTP face, put together: routes, edge, errors, description."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from a1zap.api import (
    agents,
    channels,
    chat,
    chats,
    files,
    health,
    keys,
    knowledge,
    sign_in,
    signs,
    turns,
    usage,
    visitors,
    visits,
    webhook_endpoints,
)
from a1zap.api.bodies import BodiesHeld
from a1zap.api.cross_origin import CrossOrigin
from a1zap.api.describe import TITLE, describe
from a1zap.api.edge import Edge
from a1zap.api.house import ApiHouse
from a1zap.api.meters import Meters
from a1zap.api.problems import add_problem_handlers
from a1zap.api.web_pages import page_routes
from a1zap.api.webhooks import webhook_routes
from a1zap.intake.receive_webhook import Owners

_RESOURCES = (
    chat,
    chats,
    signs,
    files,
    turns,
    agents,
    channels,
    knowledge,
    keys,
    webhook_endpoints,
    usage,
    sign_in,
    visitors,
    visits,
    health,
)


def build_api(house: ApiHouse) -> FastAPI:
    """The app that serves this house. Everything it needs comes in with the house; nothing is read from outside."""
    app = _bare_api()
    app.state.house = house
    app.state.owners = Owners()
    app.state.bodies_held = BodiesHeld()
    meters = Meters()
    app.state.meters = meters
    app.add_middleware(
        Edge,
        meters=meters,
        is_https=house.settings.base_url.startswith("https://"),
        file_bytes_max=house.files.limits.file_max,
    )
    app.add_middleware(CrossOrigin, house=house)
    return app


def describe_api() -> dict[str, Any]:
    """The API's description, for which no house is needed."""
    return _bare_api().openapi()


def _bare_api() -> FastAPI:
    app = FastAPI(
        title=TITLE,
        version=version("a1zap"),
        docs_url=None,  # its page loads scripts from elsewhere, which our content policy forbids
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.routes[:0] = webhook_routes()
    for resource in _RESOURCES:
        # Not include_router: that asks every router in turn at each request, and costs more than all else here.
        app.router.routes.extend(resource.router.routes)
    app.router.routes.extend(page_routes())
    add_problem_handlers(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app
