"""OpenStack: servers of any cloud that runs it (Keystone v3 or v2.0, Nova 2.0 and later)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mistcore import ca_certificate, credential, secret, verification
from mistcore.errors import InvalidFields
from mistcore_providers._openstack import OpenStackProvider, address_problem, lookup

if TYPE_CHECKING:
    from mistcore_providers._openstack_cloud import Cloud

_OPENRC = "in the cloud's openrc file (dashboard → API Access)"
_SECRETS = ("password", "token", "application_credential_secret")
#: Fields that say the same thing in different ways: one that is given puts the entry's others aside.
_EITHER = (
    ("tenant_name", "project_id"),
    ("username", "user_id"),
    ("user_domain_name", "user_domain_id"),
    ("project_domain_name", "project_domain_id"),
    ("application_credential_id", "application_credential_name"),
    _SECRETS,
)


class Openstack(OpenStackProvider):
    """Servers of an OpenStack cloud.

    Let in by a user name, a password and a project (`tenant_name`), by an application credential, by a token, or by
    the name of an entry of clouds.yaml (`cloud`), whose values count where a field is not given.
    """

    title = "OpenStack"
    rights = """
    Dashboard → Identity → Application Credentials → Create: its id and secret are all that is needed beside
    `auth_url`, it belongs to one project, it can expire, and it can be revoked without a new password for anybody.
    Give it one role:

    - to read, **reader**;
    - to act, create and destroy, **member**.

    Nova keeps a reader from acting by default since its release 2023.1. In older clouds, any role in the project may
    act as well; there, add access rules to the application credential (`--access-rules`): `GET` only, for `compute`
    at `/v2.1/servers/**`, and as far as they are wanted for `image` at `/v2/images` and for `network` at `/v2.0/**`.

    The role admin is never needed; `check` warns of it.
    """
    limits = (
        "One project and one region for each backend.",
        "Only servers: neither Ironic's nodes by themselves nor containers.",
        "Permissions are not told by `check`: Keystone names roles, and what they allow is each service's affair.",
        "Images and networks need Glance and Neutron; without Neutron, `networks` says `NotSupported`.",
        "Federated logins (SAML, OpenID Connect) are not spoken: use an application credential or a token.",
        "With `name_lookup` off, machines lack description, lock, tags that are no metadata, and their size's CPUs.",
        "With `name_lookup` off, Nova leaves out the servers of a cell that does not answer.",
        "Suspending, pausing and some reboots depend on the hypervisor; what it refuses is `Rejected`.",
    )

    auth_url: str = credential(
        "Identity service address",
        default="",
        env="OS_AUTH_URL",
        example="https://cloud.example.org:5000/v3",
        help=f"Where Keystone is, with or without /v3: OS_AUTH_URL {_OPENRC}.",
        address=True,
        validator=address_problem,
    )
    username: str = credential("User name", default="", env="OS_USERNAME", help=f"OS_USERNAME {_OPENRC}.")
    password: str = secret("Password", default="", env="OS_PASSWORD", help="The one that the dashboard takes.")
    tenant_name: str = credential(
        "Project (tenant) name", default="", env="OS_PROJECT_NAME", help=f"OS_PROJECT_NAME {_OPENRC}."
    )
    region: str = credential(
        "Region",
        default="",
        env="OS_REGION_NAME",
        help="A region of the cloud's catalog; may be left out where there is only one.",
    )
    user_domain_name: str = credential(
        "User's domain", default="", env="OS_USER_DOMAIN_NAME", help="By its name; the default domain when left out."
    )
    user_domain_id: str = credential(
        "User's domain ID", default="", env="OS_USER_DOMAIN_ID", help="In place of the name."
    )
    project_domain_name: str = credential(
        "Project's domain", default="", env="OS_PROJECT_DOMAIN_NAME", help="By its name; the user's when left out."
    )
    project_domain_id: str = credential(
        "Project's domain ID", default="", env="OS_PROJECT_DOMAIN_ID", help="In place of the name."
    )
    project_id: str = credential("Project ID", default="", env="OS_PROJECT_ID", help="In place of the project's name.")
    application_credential_id: str = credential(
        "Application credential ID",
        default="",
        env="OS_APPLICATION_CREDENTIAL_ID",
        help="Made in the dashboard (Identity → Application Credentials); in place of user, password and project.",
    )
    application_credential_name: str = credential(
        "Application credential name",
        default="",
        env="OS_APPLICATION_CREDENTIAL_NAME",
        help="In place of its id, together with the user name.",
    )
    application_credential_secret: str = secret(
        "Application credential secret",
        default="",
        env="OS_APPLICATION_CREDENTIAL_SECRET",
        help="Shown once when the application credential is made.",
    )
    token: str = secret(
        "Token",
        default="",
        env="OS_TOKEN",
        help="From `openstack token issue`; good for hours at the most, as it cannot be renewed.",
    )
    cloud: str = credential(
        "Entry of clouds.yaml",
        default="",
        env="OS_CLOUD",
        help="Its values count where a field is not given; the file is looked for where OpenStack's own tools do.",
    )
    compute_endpoint: str = credential(
        "Compute service address",
        default="",
        help="Where Nova is, when the catalog is wrong about it.",
        address=True,
        validator=address_problem,
    )
    interface: str = credential(
        "Interface",
        default="",
        env="OS_INTERFACE",
        choices=("public", "internal", "admin"),
        help="Which of the catalog's addresses to use; public when left out.",
    )
    ca_cert: str = ca_certificate(env="OS_CACERT")
    verify: bool = verification()
    name_lookup: bool = lookup()

    def problems(self) -> Mapping[str, str]:
        """Return what is missing: there are four ways in, and each wants its own fields."""
        if self.cloud:
            return {}
        found = {} if self.auth_url else {"auth_url": "missing (Identity service address), or give cloud"}
        if self.application_credential_id or self.application_credential_name or self.application_credential_secret:
            if not self.application_credential_secret:
                found["application_credential_secret"] = "missing (Application credential secret)"  # noqa: S105
            if not self.application_credential_id and not self.application_credential_name:
                found["application_credential_id"] = "missing (Application credential ID)"
            if self.application_credential_name and not self.application_credential_id and not self.username:
                found["username"] = "missing (User name), which an application credential's name goes with"
            return found
        if self.token:
            return found
        if not self.username:
            found["username"] = "missing (User name), or give an application credential or a token"
        if not self.password:
            found["password"] = "missing (Password)"  # noqa: S105
        if not self.tenant_name and not self.project_id:
            found["tenant_name"] = "missing (Project (tenant) name), or give project_id"
        return found

    def other_secrets(self) -> Iterable[str]:
        """Return those that clouds.yaml holds."""
        names = ("password", "token", "application_credential_secret") if self.cloud else ()
        return [value for value in map(self._given().get, names) if value]

    def _connect(self) -> Cloud:
        from mistcore_providers._openstack_cloud import Cloud
        from mistcore_providers._openstack_login import Keys, KeystoneLogin

        given = self._given()
        login = KeystoneLogin(
            given.get("auth_url", ""),
            Keys(
                username=given.get("username", ""),
                user_id=given.get("user_id", ""),
                password=given.get("password", ""),
                user_domain_id=given.get("user_domain_id", ""),
                user_domain_name=given.get("user_domain_name", ""),
                project_id=given.get("project_id", ""),
                project_name=given.get("tenant_name", ""),
                project_domain_id=given.get("project_domain_id", ""),
                project_domain_name=given.get("project_domain_name", ""),
                token=given.get("token", ""),
                application_credential_id=given.get("application_credential_id", ""),
                application_credential_name=given.get("application_credential_name", ""),
                application_credential_secret=given.get("application_credential_secret", ""),
            ),
            self._seconds,
        )
        return Cloud(
            login,
            self._seconds,
            region=given.get("region", ""),
            interface=given.get("interface", ""),
            compute_endpoint=given.get("compute_endpoint", ""),
            name_lookup=given.get("name_lookup", True),
            verify=given.get("verify", True),
            ca_cert=given.get("ca_cert", ""),
        )

    def _given(self) -> dict[str, Any]:
        """Return the values to use: the fields', and below them those of the entry of clouds.yaml."""
        own = {field.name: getattr(self, field.name) for field in self.fields()}
        own = {name: value for name, value in own.items() if value not in ("", None, True)}  # what is on, is by default
        if not self.cloud:
            return own
        from mistcore_providers._openstack_clouds_yaml import read_cloud

        entry = read_cloud(self.cloud)
        for group in _EITHER:
            if any(name in own for name in group):
                entry = {name: value for name, value in entry.items() if name not in group}
        given = {**entry, **own}
        if not any(given.get(name) for name in _SECRETS):
            raise InvalidFields(
                {"cloud": f"the entry {self.cloud!r} holds no password, token or application credential"}
            )
        return given
