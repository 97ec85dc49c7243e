"""Swagger UI at ``/docs``: all that the page loads is served from here, by relative addresses."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, HTMLResponse

PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Whisper</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# The routes are where the page is, which the document cannot know behind a proxy that adds a prefix. Without
# validatorUrl the page would send addresses to swagger.io.
START: Final = """async function start() {
  const answer = await fetch("openapi.json");
  const spec = await answer.json();
  spec.servers = [{ url: new URL(".", window.location.href).href.slice(0, -1) }];
  SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
}

start();
"""
POLICY: Final = "default-src 'self' data:; style-src 'self' 'unsafe-inline'"
"""Lets a browser load nothing from elsewhere; Swagger UI sets styles in its elements."""
CACHED: Final = {"cache-control": "max-age=86400"}
_FILES: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")


def pages() -> APIRouter:
    """The page and its files, of which the package fastapi-swagger brings Swagger UI's."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def page() -> Response:
        return HTMLResponse(PAGE, headers={"content-security-policy": POLICY})

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(START, media_type="text/javascript")

    for name in _FILES:
        _add_file(router, name)
    return router


def _add_file(router: APIRouter, name: str) -> None:
    path = _installed(name)

    @router.get(f"/docs/{name}")
    async def file() -> Response:
        return FileResponse(path, headers=CACHED)


def _installed(name: str) -> Path:
    """Installed packages are folders, never archives, so the file stays when the context ends."""
    with as_file(files("fastapi_swagger.resources") / name) as path:
        return path
