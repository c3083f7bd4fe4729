"""What Google means by its refusals: those of the token service and those of Compute Engine.

Facts: "Using OAuth 2.0 for Server to Server Applications" (error codes), "Compute Engine API: rate quotas" (exceeding
one is a 403), "Handle exceptions in client libraries" and "Troubleshooting resource availability" (Google's docs).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mistcore import AuthenticationFailed, MistError, PermissionDenied, ProviderError, RateLimited, Rejected
from mistcore.http import Failure

_RATES = {
    "concurrentLimitExceeded",
    "dailyLimitExceeded",
    "rateLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "userRateLimitExceeded",
}
_NOT_ENABLED = {
    "accessNotConfigured",
    "SERVICE_DISABLED",
    "BILLING_DISABLED",
    "billingNotEnabled",
    "CONSUMER_SUSPENDED",
}
_QUOTA = {"quotaExceeded", "QUOTA_EXCEEDED", "limitExceeded"}
_CAPACITY = {
    "resourcePoolExhausted",
    "UNSUPPORTED_OPERATION_STOCKOUT",
    "ZONE_RESOURCE_POOL_EXHAUSTED",
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
}
_CONFLICT = {
    "alreadyExists": "exists",
    "RESOURCE_ALREADY_EXISTS": "exists",
    "conditionNotMet": "conflict",
    "resourceInUseByAnotherResource": "in_use",
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": "in_use",
    "resourceNotReady": "wrong_state",
    "RESOURCE_NOT_READY": "wrong_state",
}
_DATE = re.compile(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT")
_LEAST_SKEW = 30.0


def token_error(failure: Failure) -> MistError | None:
    """Return what the token service means by a refusal, or None where the status says it all."""
    body = failure.body if isinstance(failure.body, Mapping) else {}
    error = body.get("error")
    if not isinstance(error, str) or failure.status == 429:
        return None
    description = " ".join(str(body.get("error_description") or error).split())
    words = f"{description.rstrip('.')} ({error})"
    lower = description.lower()
    if "reasonable timeframe" in lower or "token used too" in lower:
        skew = _skew(failure)
        off = f"this machine's clock is {abs(skew):.0f} seconds {'fast' if skew > 0 else 'slow'}" if skew else ""
        return AuthenticationFailed(
            off or "the token service does not accept the time of what this machine has signed",
            reason="clock_skew",
            remedy="Set this machine's clock; then try again.",
        )
    if "signature" in lower:
        return AuthenticationFailed(
            "the key is not one of this service account",
            reason="wrong_key",
            remedy="It may have been deleted: make a new one (IAM → Service accounts → Keys).",
        )
    if "account not found" in lower or "deleted" in error or "disabled" in error or "disabled" in lower:
        reason = "disabled" if "disabled" in f"{error}{lower}" else "unknown_account"
        return AuthenticationFailed(words, reason=reason, remedy="Check the service account (IAM → Service accounts).")
    if "expired or revoked" in lower or "reauth" in lower:
        return AuthenticationFailed(
            words, reason="expired", remedy="Log in again: gcloud auth application-default login."
        )
    if failure.status >= 500 or error in {"server_error", "temporarily_unavailable", "internal_failure"}:
        return ProviderError(words, status=failure.status, reason="unavailable", remedy="Try again later.")
    return AuthenticationFailed(words, reason=error, remedy="Check the service account and its key.")


def api_error(failure: Failure) -> MistError | None:
    """Return what Compute Engine means by a refusal, or None where the status says it all."""
    body = failure.body.get("error") if isinstance(failure.body, Mapping) else None
    if not isinstance(body, Mapping):
        return None
    message = " ".join(str(body.get("message") or "").split())
    reasons = [str(one.get("reason")) for one in _mappings(body.get("errors")) if one.get("reason")]
    reasons += [str(one.get("reason")) for one in _mappings(body.get("details")) if one.get("reason")]
    return _meaning(reasons, message or failure.describe(), failure.status, failure.retry_after)


def operation_error(operation: Mapping[str, Any], what: str) -> MistError | None:
    """Return the error of an operation that is done, or None where it went well."""
    error = operation.get("error")
    found = _mappings(error.get("errors")) if isinstance(error, Mapping) else []
    status = operation.get("httpErrorStatusCode")
    if not found and not status:
        return None
    codes = [str(one.get("code")) for one in found if one.get("code")]
    text = "; ".join(str(one.get("message") or one.get("code")) for one in found)
    words = f"Google failed to {what}: {text or operation.get('httpErrorMessage') or 'it does not say why'}"
    return _meaning(codes, words, status if isinstance(status, int) else 409, None)


def _meaning(reasons: list[str], message: str, status: int, retry_after: float | None) -> MistError | None:
    words = f"{message.rstrip('.')} ({', '.join(dict.fromkeys(reasons))})" if reasons else message
    known = set(reasons)
    if status == 429 or known & _RATES:
        # The quota of a minute is filled up again when that minute is over.
        return RateLimited(words, retry_after=60.0 if retry_after is None else retry_after)
    if known & _NOT_ENABLED or (status == 403 and "billing" in message.lower()):
        link = re.search(r"https://console\.\S+", message)
        return PermissionDenied(
            words,
            reason="not_enabled",
            remedy=f"Enable it: {link[0].rstrip('.')}" if link else "Enable the API, or billing, for the project.",
        )
    if known & _QUOTA:
        return Rejected(words, reason="quota", remedy="Ask for a higher quota, or use another size or region.")
    if known & _CAPACITY:
        return Rejected(words, reason="no_capacity", remedy="Use another zone or size, or try again later.")
    conflict = next((_CONFLICT[reason] for reason in reasons if reason in _CONFLICT), "")
    if conflict:
        return Rejected(words, reason=conflict)
    if status == 401:
        return AuthenticationFailed(words, reason="invalid_token", remedy="Check the key and the endpoint.")
    if status == 403:
        permission = re.search(r"'([a-z]+\.[A-Za-z.]+)' permission|[Pp]ermission '([a-z]+\.[A-Za-z.]+)'", message)
        name = (permission[1] or permission[2]) if permission else ""
        role = f"a role with the permission {name}" if name else "a role that allows it"
        return PermissionDenied(words, remedy=f"Give the service account {role} on the project (IAM).")
    if "Unknown project" in message or re.search(r"resource '?projects/[^/' ]+'? was not found", message):
        return PermissionDenied(words, reason="unknown_project", remedy="Check project_id.")
    if status == 404 or "notFound" in known or "RESOURCE_NOT_FOUND" in known:
        return ProviderError(words, status=404, reason="not_found")
    if status in {400, 409, 412}:
        return Rejected(words, reason="invalid" if status == 400 else "conflict")
    return None


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _skew(failure: Failure) -> float:
    """Return by how many seconds this machine's clock is ahead of the service's; 0 where that is not the matter."""
    dates = _DATE.findall(failure.headers.get("Date") or "")
    if not dates:
        return 0.0
    skew = time.time() - parsedate_to_datetime(dates[-1]).timestamp()
    return skew if abs(skew) >= _LEAST_SKEW else 0.0
