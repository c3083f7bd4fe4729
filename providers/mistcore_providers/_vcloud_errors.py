"""What vCloud Director's refusals mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mistcore import (
    AuthenticationFailed,
    MistError,
    PermissionDenied,
    ProviderError,
    Rejected,
    Unreachable,
)
from mistcore.http import Failure, error_for
from mistcore_providers._vcloud_data import parse_xml

__all__ = ["NO_ACCESS", "meaning", "pin", "task_error"]

#: The reason of the refusal that vCloud Director gives for what is not there as well as for what may not be seen.
NO_ACCESS = "no_access"
_RIGHTS = "Ask the organisation's administrator to add the right to this user's role."
_NO_TOOLS = "VMware Tools do not run in the machine, so it cannot be asked; use force."


def _body(failure: Failure) -> Mapping[str, Any]:
    body = failure.body
    if body is None and failure.text.lstrip().startswith("<") and "<html" not in failure.text[:500].lower():
        try:
            body = parse_xml(failure.text)
        except ProviderError:
            body = None
    return body if isinstance(body, Mapping) else {}


def meaning(failure: Failure) -> MistError | None:
    """Return what a refusal means, or None where the common meaning is right."""
    body = _body(failure)
    code = str(body.get("minorErrorCode") or body.get("error") or "")
    message = str(body.get("message") or body.get("error_description") or "").strip()
    words = _short(message) or failure.describe()
    status = failure.status
    if status == 406 or (status == 400 and re.search(r"\bversion\b", message, re.IGNORECASE) and "support" in message):
        return Rejected(
            f"the service does not take this version of the API: {words}",
            reason="version",
            remedy="The versions that it takes are asked for at each login: try again, or give the right host.",
        )
    if status == 401 or code == "invalid_grant":
        return AuthenticationFailed(
            words,
            reason="expired" if "expired" in message.lower() else "",
            remedy="Check organisation, user name and password, or make a new API token.",
        )
    if status == 403:
        missing = code in ("ACCESS_TO_RESOURCE_IS_FORBIDDEN", "RESOURCE_NOT_FOUND") and "No access to entity" in message
        return PermissionDenied(words, reason=NO_ACCESS if missing else "", remedy=_RIGHTS)
    if code == "BUSY_ENTITY":
        return Rejected(words, reason="busy", remedy="Try again when what is under way is done.")
    if not message:
        return None
    error = error_for(failure)
    error.args = (words, *error.args[1:])
    if isinstance(error, Rejected):
        error.reason = _reason(code, message)
        error.remedy = _NO_TOOLS if error.reason == "tools" else ""
    return error


def task_error(task: Mapping[str, Any]) -> MistError:
    """Return the error for a task that failed, or was cancelled."""
    raw = task.get("error")
    found: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
    name = str(task.get("operationName") or task.get("name") or "task")
    message = _short(str(found.get("message") or task.get("operation") or ""))
    code = str(found.get("minorErrorCode") or "")
    words = f"{name} failed: {message}" if message else f"{name} {task.get('status')}"
    error = Rejected(words, reason=_reason(code, message) or str(task.get("status") or ""))
    if error.reason == "tools":
        error.remedy = _NO_TOOLS
    return error


def _reason(code: str, message: str) -> str:
    low = message.lower()
    if "vmware tools" in low or "vm tools" in low:
        return "tools"
    if code == "DUPLICATE_NAME" or "already exists" in low:
        return "exists"
    if "quota" in low or "limit" in low or code == "QUOTA_EXCEEDED":
        return "quota"
    if code == "BUSY_ENTITY":
        return "busy"
    if code in ("BAD_REQUEST", "") and re.search(r"power|deployed|running|state", low):
        return "state"
    return code.lower()


def _short(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    words = re.sub(r"^\[ ?[0-9a-f-]{36} ?\] ?", "", words)
    return words if len(words) <= 300 else words[:300].rstrip() + " …"


def pin(error: Unreachable, host: str) -> None:
    """Say how a certificate can be trusted that signed itself, as those of vCloud Director mostly did."""
    if error.reason == "tls" and "ca_cert" in error.remedy:
        error.remedy = (
            f"Perhaps its certificate signed itself: save it by `openssl s_client -connect {host} </dev/null | "
            "openssl x509 > vcloud.pem`, compare its fingerprint with the administrator's, and give that file as "
            "ca_cert."
        )
