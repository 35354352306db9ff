"""The HTTP API: OpenAI's `images.edit`, over one `Service`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import Depends, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from uip2p.errors import UserError
from uip2p.serving.asking import MAX_PIXELS, Declined, Limits
from uip2p.serving.http import edits, forms
from uip2p.serving.http.door import Door
from uip2p.serving.http.errors import BadRequest, about, response
from uip2p.serving.http.figures import Figures
from uip2p.serving.http.keys import Key, Rate, owner
from uip2p.serving.http.reference import ERRORS, KEYED, answers, errors, page

if TYPE_CHECKING:
    from uip2p.serving.service import Service

LOG = logging.getLogger("uip2p.serving")
DECODERS = 2  # pictures that are decoded at a time: each may take 100 MB
ENCODERS = 2  # answers that are written at a time: a large one takes seconds, and some hundred MB


@dataclass(frozen=True, slots=True)
class Settings:
    """model: the name that requests may give. keys: none lets everybody in. rate: requests a minute of each key, 0 for
    any number. max_body: bytes of a request. body_seconds: in which it must come. hosts, origins: see `Door`.
    log_prompts: prompts into the log. grace: seconds for what is in work when the server is told to stop."""

    model: str = "mini"
    keys: tuple[Key, ...] = ()
    rate: float = 0.0
    max_pixels: int = MAX_PIXELS
    max_body: int = 20_000_000
    body_seconds: float = 60.0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    log_prompts: bool = False
    grace: float = 8.0


class Loading(Declined):
    """The model is being loaded."""

    code = "loading"


def application(service: Service | Future[Service], settings: Settings, limits: Limits | None = None) -> FastAPI:
    """service: or the promise of one, whose model is being loaded; `limits` are then those it will have."""
    limits = limits or (Limits() if isinstance(service, Future) else service.limits)

    def ready() -> Service | None:
        if not isinstance(service, Future):
            return service
        return service.result() if service.done() and service.exception() is None else None

    def serving() -> Service:
        if (found := ready()) is None:
            raise Loading("the model is being loaded: ask again in a moment.", 2.0)
        return found

    app = FastAPI(title="UIP2P", summary="Pictures edited by instruction", docs_url=None, redoc_url=None,
                  version=_version(), responses=ERRORS)  # fmt: skip
    figures = Figures(ready)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    app.add_middleware(
        Door, figures=figures, max_body=settings.max_body, body_seconds=settings.body_seconds, hosts=settings.hosts,
        origins=settings.origins,
    )  # fmt: skip
    app.exception_handler(UserError)(_declined)
    app.exception_handler(HTTPException)(_http_error)
    key = Depends(_doorkeeper(settings))
    _add_state(app, figures, ready, key)
    _add_models(app, settings, key)
    _add_edits(app, settings, limits, figures, serving, key)
    return app


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("uip2p")


async def _declined(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    request.state.visit.about |= about(error)
    return response(error, request.state.visit.id)


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method, a body that is no form."""
    assert isinstance(error, HTTPException)
    said = {404: f"there is nothing at {request.url.path[:100]}.", 405: f"{request.method} is not for this path."}
    message = said.get(error.status_code, f"{error.detail}")
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return await _declined(request, BadRequest(message, None, error.status_code, code, error.headers))


def _doorkeeper(settings: Settings) -> Callable[..., str]:
    """A dependency: the name of the key's owner. BadRequest: 401, in the same words whatever is wrong."""
    scheme = HTTPBearer(auto_error=False, description="A key of this service, where it has any.")

    credentials = Depends(scheme)

    def enter(request: Request, given: HTTPAuthorizationCredentials | None = credentials) -> str:
        if not settings.keys:
            return "anybody"
        name = owner(settings.keys, given.credentials if given else "")
        if name is None:
            raise BadRequest("give a key of this service: 'Authorization: Bearer KEY'.", None, 401, "invalid_api_key",
                             {"WWW-Authenticate": "Bearer"})  # fmt: skip
        request.state.visit.about["key"] = name
        return name

    return enter


def _add_state(app: FastAPI, figures: Figures, ready: Callable[[], Service | None], key: Any) -> None:
    @app.get("/health", tags=["state"], summary="The process lives")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", tags=["state"], summary="It takes edits now: 503 while it loads or is about to stop",
             responses={503: {"description": "Not now"}})  # fmt: skip
    async def is_ready() -> JSONResponse:
        service = ready()
        status = "loading" if service is None else "ready" if service.ready else "stopping"
        return JSONResponse({"status": status}, 200 if status == "ready" else 503)

    text: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get("/metrics", tags=["state"], summary="Figures for Prometheus", dependencies=[key],
             responses={200: text, **KEYED}, response_class=Response)  # fmt: skip
    async def metrics() -> Response:
        return Response(figures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    described = app.openapi

    def openapi() -> dict[str, Any]:
        """FastAPI says that a parameter may be answered with 422; here it never is."""
        schema = described()
        for methods in schema["paths"].values():
            for method in methods.values():
                method["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            schema.get("components", {}).get("schemas", {}).pop(name, None)
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_models(app: FastAPI, settings: Settings, key: Any) -> None:
    model = {"id": settings.model, "object": "model", "created": 0, "owned_by": "uip2p"}

    @app.get("/v1/models", tags=["models"], summary="The one model that is served", dependencies=[key], responses=KEYED)
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name:path}", tags=["models"], summary="The same by its name", dependencies=[key],
             responses={**KEYED, **errors(404)})  # fmt: skip
    async def one_model(name: str) -> dict[str, Any]:
        check_model(name, settings)
        return model


def check_model(name: str, settings: Settings) -> None:
    if name != settings.model:
        raise BadRequest(f"there is no model {name[:80]!r} here: '{settings.model}' is served.", "model", 404,
                         "model_not_found")  # fmt: skip


def _add_edits(
    app: FastAPI, settings: Settings, limits: Limits, figures: Figures, serving: Callable[[], Service], key: Any
) -> None:
    rate = Rate(settings.rate)
    decoders, encoders = anyio.CapacityLimiter(DECODERS), anyio.CapacityLimiter(ENCODERS)
    most = {"n": limits.count, "best_of": limits.count, "steps": limits.steps}
    encoding = {"image": {"contentType": "image/png, image/jpeg, image/webp"}}
    form = {"required": True, "content": {"multipart/form-data": {"schema": forms.schema(most), "encoding": encoding}}}

    @app.post("/v1/images/edits", tags=["images"], summary="Edit a picture by an instruction", responses=answers(),
              openapi_extra={"requestBody": form}, response_class=Response)  # fmt: skip
    async def edit(http: Request, name: str = key) -> Response:
        if settings.rate:
            rate.take(name)
        service = serving()
        service.admit()
        deadline = edits.read_deadline(http)
        content, fields = await forms.read_form(http)
        if fields.model is not None:
            check_model(fields.model, settings)
        if settings.log_prompts:
            http.state.visit.about["prompt"] = fields.prompt
        steps = edits.Steps() if fields.stream else None
        begun = await anyio.to_thread.run_sync(
            edits.begin, service, fields, content, deadline, settings.max_pixels, steps, encoders,
            limiter=decoders,
        )
        del content
        if steps is not None:
            return edits.stream(http, begun, steps, figures, settings.grace + 1)
        return await edits.whole_answer(http, begun, figures)
