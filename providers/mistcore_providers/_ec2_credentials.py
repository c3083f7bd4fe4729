"""The ways in to AWS: a key, a role assumed with it, or AWS's own chain; all as botocore's credentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.session

from mistcore.errors import AuthenticationFailed, InvalidFields
from mistcore.others_logs import silence, silent
from mistcore_providers import _ec2_xml as xml

__all__ = ["chain", "role", "static"]

#: For what the chain asks by itself (STS for a profile's role, the single sign-on): botocore would wait for minutes.
_BOUNDED = botocore.config.Config(
    connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 2}
)
#: Shared by all sessions, since what it has read once it keeps.
_loader = botocore.loaders.Loader()


silence(*(f"botocore.{name}" for name in ("auth", "credentials", "endpoint", "hooks", "parsers", "tokens", "utils")))


def static(key: str, secret: str, token: str) -> Any:
    """Return a key as credentials."""
    return botocore.credentials.Credentials(key, secret, token or None)


def chain(profile: str) -> Any:
    """Return what AWS's own chain finds: environment, shared files, SSO cache, container or instance role.

    Raises:
        AuthenticationFailed: (reason "no_credentials") it finds nothing. InvalidFields: there is no such profile.

    """
    session = botocore.session.Session(profile=profile or None)
    session.register_component("data_loader", _loader)
    session.set_default_client_config(_BOUNDED)
    try:
        with silent():
            found = session.get_credentials()
    except botocore.exceptions.ProfileNotFound as error:
        raise InvalidFields(
            {"profile": f"there is no profile {profile or 'as AWS_PROFILE names'!r} in AWS's configuration files"}
        ) from error
    if found is None:
        raise AuthenticationFailed(
            f"the profile {profile!r} holds no credentials" if profile else "no credentials were found on this machine",
            reason="no_credentials",
            remedy="Give api_key and api_secret, or a profile, or log in (aws configure, aws sso login).",
        )
    return found


def role(arn: str, external_id: str, assume: Callable[[dict[str, str]], Any]) -> Any:
    """Return credentials of a role: assumed when first needed and again before they expire, once for all threads.

    Args:
        arn: the role. external_id: what its trust policy asks for, or "".
        assume: asks STS for AssumeRole with this form and returns the root of the answer.

    """
    form = {"RoleArn": arn, "RoleSessionName": "mistcore"}
    if external_id:
        form["ExternalId"] = external_id

    def refresh() -> dict[str, str]:
        given = xml.items(xml.items(assume(form), "AssumeRoleResult"), "Credentials")
        return {
            "access_key": xml.text(given, "AccessKeyId"),
            "secret_key": xml.text(given, "SecretAccessKey"),
            "token": xml.text(given, "SessionToken"),
            "expiry_time": xml.text(given, "Expiration"),
        }

    return botocore.credentials.DeferredRefreshableCredentials(refresh, "sts-assume-role")
