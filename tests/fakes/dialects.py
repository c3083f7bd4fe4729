"""How each vendor words its refusals, for the suite: a status, and words for people. From the vendors' documents."""

from __future__ import annotations

from fakes import digitalocean, ec2, gce_errors, linode, softlayer

from mistcore.testing.server import Response, json_response

LATER = {"Retry-After": "3600"}
_REASONS = {
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    409: "conflictingRequest",
    429: "overLimit",
    500: "computeFault",
    503: "serviceUnavailable",
}


def _patient(answer: Response, status: int) -> Response:
    if status == 429:
        answer.headers |= LATER
    return answer


def by_digitalocean(status: int, words: str) -> Response:
    return _patient(digitalocean.problem(status, words), status)


def by_linode(status: int, words: str) -> Response:
    return _patient(linode.problem(status, words), status)


def by_nephoscale(status: int, words: str) -> Response:
    body = {"success": False, "message": words, "response": status, "total_count": 0, "data": []}
    return _patient(json_response(body, status), status)


def by_softlayer(status: int, words: str) -> Response:
    """Most of its refusals are a 500 with a code."""
    if status == 404:
        return softlayer.problem(404, words, "SoftLayer_Exception_ObjectNotFound")
    if status == 429:
        return softlayer.problem(500, words, "SoftLayer_Exception_WebService_RateLimitExceeded")
    if status == 500:
        return softlayer.problem(500, words, "SoftLayer_Exception_Internal")
    return softlayer.problem(status, words)


def by_azure(status: int, words: str) -> Response:
    codes = {
        401: "InvalidAuthenticationToken",
        403: "AuthorizationFailed",
        404: "ResourceNotFound",
        409: "Conflict",
        429: "TooManyRequests",
        500: "InternalServerError",
        503: "ServerBusy",
    }
    return _patient(json_response({"error": {"code": codes[status], "message": words}}, status), status)


def by_google(status: int, words: str) -> Response:
    """Too many requests are a 403 with a reason of its own."""
    if status == 429:
        return gce_errors.api_error(403, "rateLimitExceeded", words, **LATER)
    reasons = {
        401: "authError",
        403: "forbidden",
        404: "notFound",
        409: "conditionNotMet",
        500: "internalError",
        503: "backendError",
    }
    return gce_errors.api_error(status, reasons[status], words)


_VCLOUD = {
    401: "UNAUTHORIZED",
    403: "ACCESS_TO_RESOURCE_IS_FORBIDDEN",
    404: "NOT_FOUND",
    409: "DUPLICATE_NAME",
    429: "TOO_MANY_REQUESTS",
    500: "INTERNAL_SERVER_ERROR",
    503: "SERVICE_UNAVAILABLE",
}


def by_vcloud(status: int, words: str) -> Response:
    body = {"minorErrorCode": _VCLOUD[status], "message": f"[ 7b1cd0b4-3d9e-4b3c-8a0c-0e4b5d8fb5b7 ] {words}"}
    return _patient(json_response({**body, "stackTrace": None}, status), status)


def by_older_vcloud(status: int, words: str) -> Response:
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error xmlns="http://www.vmware.com/vcloud/v1.5" '
        f'minorErrorCode="{_VCLOUD[status]}" message="{words}" majorErrorCode="{status}"/>'
    )
    return _patient(
        Response(status, body.encode(), {"Content-Type": "application/vnd.vmware.vcloud.error+xml"}), status
    )


def by_ec2(status: int, words: str) -> Response:
    """It asks for fewer requests by a 503, and never says when to come again."""
    code, real = {
        401: ("AuthFailure", 401),
        403: ("UnauthorizedOperation", 403),
        404: ("InvalidAction", 404),
        409: ("IncorrectInstanceState", 400),
        429: ("RequestLimitExceeded", 503),
        500: ("InternalError", 500),
        503: ("Unavailable", 503),
    }[status]
    return ec2.refusal(code, words, real)


def by_openstack(status: int, words: str) -> Response:
    body = {_REASONS[status]: {"code": status, "message": words}}
    return _patient(json_response(body, status), status)


def by_the_first_generation(status: int, words: str) -> Response:
    """Too many requests are a 413."""
    real = 413 if status == 429 else status
    body = {_REASONS[status]: {"code": real, "message": words, "details": ""}}
    return _patient(json_response(body, real), status)
