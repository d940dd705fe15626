"""Errors as OpenAI's clients expect them: a status and a JSON document."""

from __future__ import annotations

import json
from typing import Final

from charlm.errors import CharlmError, CorpusError, UsageError

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """A request that is refused."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param  # the key of the request that is wrong
        self.code = code

    @classmethod
    def of(cls, error: BaseException) -> ApiError:
        """Return an error for the client."""
        match error:
            case ApiError():
                return error
            case CharlmError(message=message, hint=hint):
                status = 400 if isinstance(error, UsageError | CorpusError) else 500
                return cls(status, f"{message}; {hint}" if hint else message)
            case _:
                return cls(500, f"something broke inside charlm: {type(error).__name__}")

    @property
    def document(self) -> dict[str, object]:
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def dumps(document: object) -> bytes:
    """Return JSON in ASCII: a text may hold anything, also half a surrogate pair."""
    return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
