"""How Google's APIs and its token service word their refusals."""

from __future__ import annotations

from typing import Any

from mistcore.testing.server import Response, json_response


class Refused(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.response = api_error(status, reason, message)


def api_error(
    status: int, reason: str, message: str, *, details: list[dict[str, Any]] | None = None, **headers: str
) -> Response:
    """Return a refusal as Google's APIs word it."""
    error: dict[str, Any] = {"code": status, "message": message}
    error["errors"] = [{"message": message, "domain": "global", "reason": reason}]
    if details:
        error["details"] = details
    return json_response({"error": error}, status=status, headers=headers)


def oauth_error(status: int, error: str, description: str, **headers: str) -> Response:
    """Return a refusal as the token service words it."""
    return json_response({"error": error, "error_description": description}, status=status, headers=headers)
