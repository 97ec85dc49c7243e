"""The routes of the API and those that tell of the server's health."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from whisper_serve.gateway.answers import AudioAnswer, LanguageAnswer, TranslationAnswer
from whisper_serve.gateway.documents import AUDIO_ERRORS, errors, form, success
from whisper_serve.gateway.failures import Draining, NotReady
from whisper_serve.gateway.live.websocket import stream_audio
from whisper_serve.gateway.metrics import CONTENT_TYPE
from whisper_serve.gateway.pages import pages
from whisper_serve.gateway.service import OWNER, Service
from whisper_serve.gateway.shapes import (
    Health,
    Language,
    Model,
    ModelList,
    Readiness,
    Transcription,
    VerboseTranscription,
)
from whisper_serve.gateway.web_page import web_page


def add_routes(app: FastAPI, service: Service) -> None:
    """All of them."""
    app.include_router(_audio(service))
    app.include_router(_live(service))
    app.include_router(_models(service))
    app.include_router(_health(service))
    app.include_router(pages())
    app.include_router(web_page(service.settings))


def _audio(service: Service) -> APIRouter:
    router = APIRouter(tags=["audio"])
    models = service.settings.model_names
    texts = {
        "text_plain": "The formats `text`, `srt` and `vtt`.",
        "text_tab_separated_values": "The format `tsv`.",
    }
    text = success("The text.", Transcription | VerboseTranscription, events=True, **texts)
    language = success("The language.", Language)

    @router.post("/v1/audio/transcriptions", responses={**text, **errors(*AUDIO_ERRORS)}, openapi_extra=form(models))
    async def transcribe() -> Response:
        """Text of speech, in its language."""
        return AudioAnswer(service)

    @router.post("/v1/audio/translations", responses={**text, **errors(*AUDIO_ERRORS)}, openapi_extra=form(models))
    async def translate() -> Response:
        """Text of speech, in English."""
        return TranslationAnswer(service)

    @router.post(
        "/v1/audio/language",
        responses={**language, **errors(*AUDIO_ERRORS)},
        openapi_extra=form(models, decoding=False),
    )
    async def identify_language() -> Response:
        """Which language is spoken."""
        return LanguageAnswer(service)

    return router


def _live(service: Service) -> APIRouter:
    router = APIRouter()

    @router.websocket("/v1/audio/stream")
    async def stream(websocket: WebSocket) -> None:
        await stream_audio(service, websocket)

    return router


def _models(service: Service) -> APIRouter:
    router = APIRouter(tags=["models"])
    parameter = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}

    @router.get("/v1/models", responses={**success("All models.", ModelList), **errors(401)})
    async def list_models() -> Response:
        """All names that requests may call the models."""
        names = service.settings.model_names
        return JSONResponse({"object": "list", "data": [_model(name, service) for name in names]})

    @router.get(
        "/v1/models/{model:path}",
        responses={**success("The model.", Model), **errors(401, 404)},
        openapi_extra={"parameters": [parameter]},
    )
    async def retrieve_model(request: Request) -> Response:
        """One of them, whose name may have slashes."""
        name = request.path_params["model"]
        if not name:
            raise HTTPException(404)
        service.model_named(name)
        return JSONResponse(_model(name, service))

    return router


def _model(name: str, service: Service) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.created, "owned_by": OWNER}


def _health(service: Service) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/livez", responses=success("It lives.", Health))
    async def live() -> Response:
        """Whether the gateway answers at all."""
        return JSONResponse({"status": "alive"})

    @router.get("/readyz", responses={**success("It is ready.", Readiness), **errors(503)})
    async def ready() -> Response:
        """Whether a model has answered and new work is taken, and which models have."""
        if service.lifecycle.draining:
            raise Draining
        if not service.pipeline.ready:
            raise NotReady(retry_after=1.0)
        models = {name: "ready" if ready else "not ready" for name, ready in service.pipeline.models.items()}
        return JSONResponse({"status": "ready", "models": models})

    if service.settings.metrics_port is not None:
        return router

    @router.get(
        "/metrics", response_class=Response, responses=success("Prometheus' text format.", text_plain="All metrics.")
    )
    async def metrics() -> Response:
        """What Prometheus reads."""
        return Response(service.metrics.render(), headers={"content-type": CONTENT_TYPE})

    return router
