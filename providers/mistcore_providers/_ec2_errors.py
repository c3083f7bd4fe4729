"""What AWS's refusals mean, in mistcore's errors.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html and
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html; which of them come when was tried or seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from mistcore.errors import (
    AuthenticationFailed,
    CheckFailed,
    InvalidFields,
    MachineNotFound,
    MistError,
    PermissionDenied,
    ProviderError,
    RateLimited,
    Rejected,
    Unreachable,
)
from mistcore.http import parse_retry_after

__all__ = ["UNKNOWN_KEY", "code_of", "combined", "means_no_sts", "refusal", "translate"]

#: AWS allows a clock five minutes, and less where it signs with a time in the past.
_TOLERANCE = 240
_LONGEST = 300

#: Whose credentials these are is not known, or they are no good (any more).
_WHO = {
    "AuthFailure": "key",
    "InvalidClientTokenId": "key",
    "UnrecognizedClientException": "key",
    "MissingAuthenticationToken": "key",
    "InvalidAccessKeyId": "key",
    "SignatureDoesNotMatch": "secret",
    "IncompleteSignature": "secret",
    "InvalidSignatureException": "secret",
    "ExpiredToken": "expired",
    "ExpiredTokenException": "expired",
    "RequestExpired": "expired",
    "RequestTimeTooSkewed": "clock_skew",
}
#: What a region that is not enabled answers as well.
UNKNOWN_KEY = frozenset(code for code, kind in _WHO.items() if kind == "key")
_FORBIDDEN = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "OperationNotAllowed"}
_THROTTLED = {
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException",
    "EC2ThrottledException", "RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded", "SlowDown",
}  # fmt: skip
_NO_ACCOUNT = {
    "Blocked": "AWS has blocked the account",
    "PendingVerification": "AWS is still verifying the account",
    "OptInRequired": "the account is not signed up for EC2, or not in this region",
    "AccountDisabled": "the account is disabled",
}
_FAILED = {"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "503", "500", "502", "504"}


def code_of(error: Exception) -> str:
    """Return the code of a service's refusal, or ""."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def translate(error: Exception, region: str) -> MistError | None:
    """Return our error for one of botocore's, or None for what is not botocore's."""
    import botocore.exceptions

    ours = getattr(error, "error", None)
    if isinstance(error, botocore.exceptions.HTTPClientError) and isinstance(ours, MistError):
        return ours
    if isinstance(error, botocore.exceptions.ClientError):
        return refusal(error.response, region, error.operation_name)
    if isinstance(error, botocore.exceptions.HTTPClientError):
        return Unreachable(_words(str(error)), reason="network", remedy="Check the network, and try again.")
    if isinstance(error, botocore.exceptions.ProfileNotFound):
        return InvalidFields({"profile": str(error)})
    if isinstance(error, (botocore.exceptions.InvalidRegionError, botocore.exceptions.EndpointProviderError)):
        return InvalidFields({"region": _words(str(error))})
    if type(error).__module__.startswith("botocore.") and "redential" in type(error).__name__:
        return AuthenticationFailed(_words(str(error)), reason="no_credentials", remedy="Log in again, or give a key.")
    if isinstance(error, botocore.exceptions.BotoCoreError):
        sso = "SSO" in type(error).__name__ or "Token" in type(error).__name__
        if sso:
            return AuthenticationFailed(_words(str(error)), reason="expired", remedy="Log in again: aws sso login.")
        return ProviderError(_words(str(error)), reason="sdk")
    return None


def refusal(response: Any, region: str, operation: str) -> MistError:
    """Return our error for an answer that refuses an operation."""
    told = response.get("Error", {})
    code, words = str(told.get("Code", "")), _words(str(told.get("Message") or ""))
    about = response.get("ResponseMetadata", {})
    status, headers = about.get("HTTPStatusCode"), about.get("HTTPHeaders", {})
    said = f"{words} ({code})" if words and not code.isdigit() else words or f"AWS answered {code or status}"
    if code in _WHO:
        return _unknown(_WHO[code], said, headers, region)
    if code in _FORBIDDEN:
        return PermissionDenied(
            f"these credentials may not do {operation}: {said}",
            remedy=f"Allow them {'sts' if operation == 'AssumeRole' else 'ec2'}:{operation} in IAM, or use others.",
        )
    if code in _THROTTLED or status == 429:
        return RateLimited(f"too many requests: {said}", retry_after=parse_retry_after(headers.get("retry-after")))
    if code in _NO_ACCOUNT:
        return PermissionDenied(
            f"{_NO_ACCOUNT[code]}: {said}", reason="not_enabled", remedy="Sign in to the AWS console to see why."
        )
    if code.startswith("InvalidInstanceID"):
        return MachineNotFound(said, remedy="It may be in another region, or gone: see the list of machines.")
    if code == "OperationNotPermitted" and "disableApi" in words:
        return Rejected(
            f"the machine is protected: {said}",
            reason="protected",
            remedy="Turn its termination (or stop) protection off first.",
        )
    if code == "IncorrectInstanceState":
        return Rejected(said, reason="wrong_state", remedy="Wait until it has changed its state, and try again.")
    if code.endswith("LimitExceeded") or code.startswith(("Insufficient", "MaxSpot")):
        quota = code.endswith("LimitExceeded")
        return Rejected(
            said,
            reason="quota" if quota else "capacity",
            remedy="Ask AWS for a higher quota." if quota else "Try another zone or size, or later.",
        )
    if code in _FAILED or (status or 0) >= 500:
        return ProviderError(
            f"AWS failed: {said}", status=status, reason="unavailable" if status in {502, 503, 504} else "failed"
        )
    if status == 404 or (300 <= (status or 0) < 400):
        return ProviderError(
            f"{said} (status {status})", status=status, reason="not_found", remedy="Is the endpoint right?"
        )
    if status == 401:
        return _unknown("key", said, headers, region)
    if status == 403:
        return PermissionDenied(f"{operation} is refused: {said}", remedy="Use credentials that may do it.")
    return Rejected(said, reason=re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).lower()))


def _unknown(kind: str, said: str, headers: Any, region: str) -> CheckFailed:
    skew = _skew(headers)
    if abs(skew) > _TOLERANCE or kind == "clock_skew":
        minutes = abs(skew) / 60
        off = f"{minutes:.0f} minutes {'behind' if skew > 0 else 'ahead of'}" if minutes >= 1 else "not in step with"
        return AuthenticationFailed(
            f"the clock of this machine is {off} that of AWS, which therefore refuses its requests: {said}",
            reason="clock_skew",
            remedy="Set the clock (NTP), and try again.",
        )
    if kind == "expired":
        return AuthenticationFailed(
            f"the session has expired: {said}", reason="expired", remedy="Get new temporary credentials."
        )
    if kind == "secret":
        return AuthenticationFailed(
            f"the secret does not belong to the key: {said}", reason="wrong_secret", remedy="Copy api_secret again."
        )
    return AuthenticationFailed(
        f"AWS does not know this access key{f' in {region}' if region else ''}: {said}",
        reason="unknown_key",
        remedy="Check api_key and api_secret, and that the region is enabled for the account.",
    )


def _skew(headers: Any) -> float:
    """Return by how many seconds the service's clock is ahead of this machine's."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _words(message: str) -> str:
    """Return the first sentence or two: what follows may be the signed request with its token, or a coded policy."""
    line = message.partition("\n")[0]
    line = re.split(r"The Canonical String|Encoded authorization failure|Consult the service documentation", line)[0]
    line = " ".join(line.split()).rstrip(". ")
    return line if len(line) <= _LONGEST else line[:_LONGEST].rstrip() + " …"


def combined(failed: Mapping[str, MistError]) -> MistError:
    """Return what happened in several regions as one error: of the kind of the first, with the words of all."""
    regions_by_words: dict[str, list[str]] = {}
    for region, error in failed.items():
        regions_by_words.setdefault(error.message, []).append(region)
    first = next(iter(failed.values()))
    first.args = ("; ".join(f"{', '.join(regions)}: {words}" for words, regions in regions_by_words.items()),)
    return first


def means_no_sts(error: Exception) -> bool:
    """Tell whether an endpoint answered as one does that has no STS, rather than refused the caller."""
    if isinstance(error, ProviderError):
        return error.reason == "malformed"
    response = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code_of(error) in {"InvalidAction", "UnknownAction", "Unknown"} or status in {404, 405, 501}
