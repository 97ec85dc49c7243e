"""Who is asking: an API key where keys are used, else the address that the request comes from."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from whisper_serve.gateway.failures import Unauthorized
from whisper_serve.gateway.keys import KeyRing

GUARDED: Final = "/v1/"
"""Paths that need a key; what tells of the server's health does not."""
KEY_PROTOCOL: Final = "openai-insecure-api-key."
"""What OpenAI's clients put before a key that is sent as a WebSocket's subprotocol."""


class Authentication:
    """ASGI middleware: puts the client's name into ``scope["client_name"]``, or raises `Unauthorized`."""

    def __init__(self, app: ASGIApp, keys: KeyRing | None) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["client_name"] = self._name(scope)
        await self._app(scope, receive, send)

    def _name(self, scope: Scope) -> str:
        keys = self._keys if scope["path"].startswith(GUARDED) else None
        address = scope.get("client")
        authorization = _offered(scope) or Headers(scope=scope).get("authorization", "")
        return client_name(keys, authorization, address[0] if address else None)


def client_name(keys: KeyRing | None, authorization: str, address: str | None) -> str:
    """Who sent a header `authorization` from an address.

    Raises:
        Unauthorized: keys are used, and this is none of them.
    """
    if keys is None:
        return f"address {address}" if address else "anonymous"
    entry = keys.find(_bearer(authorization))
    if entry is None:
        raise Unauthorized("the API key is not known here")
    return f"key {entry.id}"


def _offered(scope: Scope) -> str | None:
    """The header `authorization` for a key among a WebSocket's subprotocols: a browser's WebSocket sends no header."""
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(KEY_PROTOCOL):
            return f"Bearer {protocol[len(KEY_PROTOCOL) :]}"
    return None


def _bearer(header: str) -> str:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("an API key is needed: send it as 'Authorization: Bearer <key>'")
    return key.strip()
