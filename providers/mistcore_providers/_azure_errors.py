"""What Azure means by its refusals: those of the token service (Entra) and those of Resource Manager.

Facts: "Microsoft Entra authentication and authorization error codes", "Common error codes in Azure Resource Manager"
and "Troubleshoot Azure VM allocation failures" (Microsoft Learn).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mistcore import AuthenticationFailed, MistError, PermissionDenied, ProviderError, RateLimited, Rejected
from mistcore.http import Failure

_SECRETS = "Entra → App registrations → the application → Certificates & secrets"

#: AADSTS number: reason, what happened, what to do
_ENTRA: dict[int, tuple[str, str, str]] = {
    7000215: (
        "wrong_secret",
        "the client secret is wrong",
        f"Give the secret's value, not its ID; if it is lost, make a new one ({_SECRETS}).",
    ),
    7000222: ("expired", "the client secret has expired", f"Make a new one ({_SECRETS})."),
    700016: (
        "unknown_client",
        "the tenant knows no application with this client ID",
        "Check client_id, and that tenant_id is the directory where the application is registered.",
    ),
    7000229: (
        "unknown_client",
        "the application has no service principal in this tenant",
        "Check tenant_id, or let an administrator of the tenant consent to the application.",
    ),
    7000112: ("disabled", "the application is disabled in its tenant", "Ask an administrator of the tenant."),
    90002: ("unknown_tenant", "there is no such tenant", "Check tenant_id, and that `cloud` is the one it is in."),
    900023: ("unknown_tenant", "the tenant is neither an ID nor a domain", "Check tenant_id."),
    700027: (
        "wrong_certificate",
        "the application does not accept this certificate: it is not registered, has expired, or the key is another's",
        f"Upload the certificate that belongs to the key ({_SECRETS}).",
    ),
    700024: (
        "clock_skew",
        "what this machine has signed is not valid now",
        "Set this machine's clock; then try again.",
    ),
    7000218: ("no_secret", "the application wants a secret or a certificate", "Give client_secret or certificate."),
    500011: (
        "wrong_cloud",
        "the tenant does not know Resource Manager by the address of this cloud",
        "Check `cloud`: public, china or usgov.",
    ),
}
_POLICY = {53000, 53001, 53003, 53004, 50005, 50076, 50079, 530032, 530035}

_CAPACITY = {
    "AllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SkuNotAvailable",
    "ZonalAllocationFailed",
}
_UNREGISTERED = {"MissingSubscriptionRegistration", "SubscriptionNotRegistered"}
_READ_ONLY = {"ReadOnlyDisabledSubscription", "SubscriptionDisabled", "DisabledSubscription"}
_GONE = {"ResourceNotFound", "ResourceGroupNotFound", "NotFound", "ParentResourceNotFound"}


def entra_error(failure: Failure) -> MistError | None:
    """Return what the token service means by a refusal, or None where the status says it all."""
    body = failure.body if isinstance(failure.body, Mapping) else {}
    error, description = str(body.get("error", "")), str(body.get("error_description", ""))
    if not error or failure.status == 429:
        return None
    numbers = [code for code in body.get("error_codes") or () if isinstance(code, int)]
    found = re.search(r"AADSTS(\d+)", description)
    numbers += [int(found[1])] if found else []
    for number in numbers:
        if number in _ENTRA:
            reason, words, remedy = _ENTRA[number]
            return AuthenticationFailed(f"{words} (AADSTS{number})", reason=reason, remedy=remedy)
        if number in _POLICY:
            words = f"a conditional access policy of the tenant forbids it (AADSTS{number})"
            return PermissionDenied(words, reason="policy", remedy="Ask an administrator of the tenant.")
    words = re.split(r"\s+Trace ID:", " ".join(description.split()))[0] or error
    if error in {"temporarily_unavailable", "server_error"} or failure.status >= 500:
        return ProviderError(words, status=failure.status, reason="unavailable", remedy="Try again later.")
    reason = {"invalid_client": "invalid_credentials", "unauthorized_client": "unknown_client"}.get(error, error)
    return AuthenticationFailed(words, reason=reason, remedy="Check tenant_id, client_id and the secret.")


def arm_error(failure: Failure) -> MistError | None:
    """Return what Resource Manager means by a refusal, or None where the status says it all."""
    code, message = _code_and_message(failure.body)
    if not code:
        return None
    return _meaning(code, message or failure.describe(), failure.status, failure.retry_after)


def operation_error(error: Any, what: str) -> MistError:
    """Return the error for a long-running operation that was accepted, and failed later."""
    code, message = _code_and_message({"error": error})
    if not code:
        return ProviderError(f"Azure failed to {what} and does not say why", reason="failed")
    return _meaning(code, f"Azure failed to {what}: {message or code}", 409, None)


def _code_and_message(body: Any) -> tuple[str, str]:
    error = body.get("error", body) if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping) or not isinstance(error.get("code"), str):
        return "", ""
    message = error.get("message")
    for detail in error.get("details") or ():
        # A general code ("DeploymentFailed", "BadRequest") may wrap the one that says what is wrong.
        if isinstance(detail, Mapping) and isinstance(detail.get("code"), str) and detail.get("message"):
            return detail["code"], " ".join(str(detail["message"]).split())
    return error["code"], " ".join(str(message or "").split())


def _meaning(code: str, message: str, status: int, retry_after: float | None) -> MistError:
    words = f"{message.rstrip('.')} ({code})"
    if status == 429 or code == "TooManyRequests":
        return RateLimited(words, retry_after=retry_after)
    if status == 401:
        return _unauthorized(code, words)
    if code in {"SubscriptionNotFound", "InvalidSubscriptionId"}:
        return PermissionDenied(
            words,
            reason="unknown_subscription",
            remedy="Check subscription_id, and that the application has a role on it (Subscriptions → Access control).",
        )
    if code in {"AuthorizationFailed", "LinkedAuthorizationFailed"}:
        action = re.search(r"action(?:\(s\))? '([^']+)'", message)
        role = f"a role that allows {action[1]}" if action else "a role that allows it"
        return PermissionDenied(words, remedy=f"Give the application {role}; a new role takes minutes to be known.")
    if code in _READ_ONLY:
        return PermissionDenied(words, reason="not_enabled", remedy="Enable the subscription again (billing).")
    if code in _UNREGISTERED:
        remedy = "Register the resource provider named in the message (Subscriptions → Resource providers)."
        return Rejected(words, reason="not_enabled", remedy=remedy)
    if code.startswith("RequestDisallowed"):
        return Rejected(words, reason="policy", remedy="A policy of the subscription forbids it: ask who set it.")
    if code == "QuotaExceeded" or (code == "OperationNotAllowed" and "quota" in message.lower()):
        return Rejected(words, reason="quota", remedy="Ask for a higher quota, or use another size or location.")
    if code in _CAPACITY:
        return Rejected(words, reason="no_capacity", remedy="Use another size, zone or location, or try again later.")
    if code in {"PlatformImageNotFound", "ImageNotFound"}:
        return Rejected(words, reason="image", remedy="See the images of that location.")
    if code in _GONE:
        return ProviderError(words, status=404, reason="not_found")
    if status == 403:
        return PermissionDenied(words)
    if status >= 500:
        return ProviderError(words, status=status, reason="failed", remedy="Try again later.")
    return Rejected(words, reason="conflict" if status == 409 else "invalid")


def _unauthorized(code: str, words: str) -> MistError:
    if code == "InvalidAuthenticationTokenTenant":
        remedy = "Give the tenant_id of the directory that the subscription belongs to."
        return AuthenticationFailed(words, reason="wrong_tenant", remedy=remedy)
    if code == "ExpiredAuthenticationToken":
        return AuthenticationFailed(words, reason="expired", remedy="Try again; if it stays, set this machine's clock.")
    return AuthenticationFailed(words, reason="invalid_token", remedy="Check `cloud`, endpoint and authority.")
