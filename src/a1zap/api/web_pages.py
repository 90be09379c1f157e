"""The pages a browser opens. Plain files; what they show they ask the API for."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

PAGES = Path(__file__).with_name("pages")


def page_routes() -> list[BaseRoute]:
    return [
        Route("/", _index),
        Route("/demo", _demo),
        Route("/demo/{agent_id}", _demo),
        Mount("/assets", StaticFiles(directory=PAGES / "assets")),
    ]


async def _index(_request: Request) -> Response:
    return _page("index.html")


async def _demo(_request: Request) -> Response:
    return _page("demo.html")


def _page(name: str) -> Response:
    return FileResponse(PAGES / name, media_type="text/html; charset=utf-8")
