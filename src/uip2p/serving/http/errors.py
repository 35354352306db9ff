"""Errors in the one shape that OpenAI's clients read: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from uip2p.errors import UserError
from uip2p.serving.asking import Declined

TYPES = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
}  # fmt: skip


class BadRequest(UserError):
    """What this API does not take. param: the field that is at fault."""

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, code: str = "invalid_value",
        headers: Mapping[str, str] | None = None,
    ):  # fmt: skip
        super().__init__(message)
        self.param, self.status, self.code, self.headers = param, status, code, dict(headers or {})


class TooMany(Declined):
    """This key has asked more often than it may."""

    status = 429
    code = "rate_limit_exceeded"


def status_of(error: UserError) -> int:
    return int(getattr(error, "status", 400))


def code_of(error: UserError) -> str:
    return str(getattr(error, "code", "invalid_value"))


def about(error: UserError) -> dict[str, str]:
    """What the log says of it: nothing of what was asked."""
    rule = getattr(error, "rule", None)
    return {"error": code_of(error)} | ({} if rule is None else {"rule": rule})


def body(error: UserError, request_id: str) -> dict[str, Any]:
    status = status_of(error)
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    said = {"message": str(error), "type": kind, "param": getattr(error, "param", None), "code": code_of(error)}
    return {"error": {**said, "request_id": request_id}}


def response(error: UserError, request_id: str) -> JSONResponse:
    headers = dict(getattr(error, "headers", {}))
    if (after := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(math.ceil(after))
    return JSONResponse(body(error, request_id), status_of(error), headers)
