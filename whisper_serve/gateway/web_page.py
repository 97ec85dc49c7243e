"""The web page at ``/``: files of the folder ``web`` and what they have to know of this server. It keeps no state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from whisper_serve import __version__
from whisper_serve.gateway.assets import REVALIDATED, Asset, read_assets
from whisper_serve.gateway.settings import GatewaySettings
from whisper_serve.speech.languages import LANGUAGES, UNSPACED

WEB: Final = Path(__file__).with_name("web")
WAVEFORM_STYLE: Final = "'sha256-XGW/cX2BkTPWNNT3NdyASrPEWZfPnKdPJaJ2aN7R+v8='"
"""The one style that wavesurfer.js 8.0.1 writes into its shadow root, at a height of 72 pixels."""
POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {WAVEFORM_STYLE}",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}


def web_page(settings: GatewaySettings) -> APIRouter:
    """The page, its files below ``/page/``, and ``/page/config.json``."""
    router = APIRouter(include_in_schema=False)
    assets = {**read_assets(WEB), "config.json": _config(settings)}

    @router.get("/")
    async def index(request: Request) -> Response:
        return assets["index.html"].answer(request.headers, HEADERS)

    @router.get("/page/{path:path}")
    async def file(request: Request) -> Response:
        asset = assets.get(request.path_params["path"])
        if asset is None:
            raise HTTPException(404)
        return asset.answer(request.headers, HEADERS)

    return router


def _config(settings: GatewaySettings) -> Asset:
    config = {
        "version": __version__,
        "keys": settings.keys_file is not None,
        "languages": LANGUAGES,
        "unspaced": sorted(UNSPACED),
        "max_upload_bytes": settings.max_upload_bytes,
        "max_audio_seconds": settings.max_audio_seconds,
        "grpc_port": settings.grpc_port,
    }
    return Asset(json.dumps(config).encode(), "application/json", REVALIDATED)
