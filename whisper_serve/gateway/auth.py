"""Who is asking: an API key where keys are used, else the address that the request comes from."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from whisper_serve.gateway.failures import Unauthorized
from whisper_serve.gateway.keys import KeyRing

GUARDED: Final = "/v1/"
"""Paths that need a key; what tells of the server's health does not."""


class Authentication:
    """ASGI middleware: puts the client's name into ``scope["client_name"]``, or raises `Unauthorized`."""

    def __init__(self, app: ASGIApp, keys: KeyRing | None) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["client_name"] = self._name(scope)
        await self._app(scope, receive, send)

    def _name(self, scope: Scope) -> str:
        if self._keys is None or not scope["path"].startswith(GUARDED):
            address = scope.get("client")
            return f"address {address[0]}" if address else "anonymous"
        entry = self._keys.find(_bearer(Headers(scope=scope).get("authorization", "")))
        if entry is None:
            raise Unauthorized("the API key is not known here")
        return f"key {entry.id}"


def _bearer(header: str) -> str:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("an API key is needed: send it as 'Authorization: Bearer <key>'")
    return key.strip()
