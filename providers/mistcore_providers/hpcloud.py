"""HP Helion Public Cloud: closed in 2016; its API lives on where somebody runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mistcore import Account, Region, ca_certificate, credential, secret, verification
from mistcore.errors import UnknownRegion
from mistcore_providers._openstack import OpenStackProvider, address_problem, lookup

if TYPE_CHECKING:
    from mistcore_providers._openstack_cloud import Cloud


class Hpcloud(OpenStackProvider):
    """Servers of an installation of HP's cloud: OpenStack with Keystone v2.0 or v3, by password and tenant."""

    title = "HP Helion Cloud"
    regions = (Region("region-a.geo-1", "US West"), Region("region-b.geo-1", "US East"))
    retired = (
        "HP shut its public cloud down in January 2016. For an OpenStack cloud of today, use the provider openstack."
    )
    extra = "openstack"
    _glance = False
    rights = """
    A user of the installation with a role in one tenant. What the least is, its operator tells: in OpenStack of that
    time, every member of a tenant may read and act on its servers.
    """
    limits = (
        "The service has closed: without an `auth_url`, nothing is sent anywhere.",
        "Images are those that Nova lists, as clouds of that time have it.",
        "Permissions are not told by `check`.",
        "With `name_lookup` off, machines lack description, lock, tags that are no metadata, and their size's CPUs.",
        "With `name_lookup` off, Nova leaves out the servers of a cell that does not answer.",
    )

    username: str = credential("User name", help="That of the account at the identity service.")
    password: str = secret("Password", help="The one that goes with the user name.")
    tenant_name: str = credential("Project (tenant) name", help="The project that the servers belong to.")
    auth_url: str = credential(
        "Identity service address",
        default="",
        example="https://keystone.example.org:5000/v2.0",
        help="Where Keystone is in a private installation. There is no default, as the public cloud has closed.",
        address=True,
        validator=address_problem,
    )
    ca_cert: str = ca_certificate()
    verify: bool = verification()
    name_lookup: bool = lookup()

    @classmethod
    def find_region(cls, region: str, values: Mapping[str, Any]) -> Region:
        """Return the region; with an address given, any: a private installation names its own."""
        try:
            return super().find_region(region, values)
        except UnknownRegion:
            if values.get("auth_url"):
                return Region(region)
            raise

    def check(self) -> Account:
        """Log in; see `OpenStackProvider.check`. Raises `ServiceRetired` where no address was given."""
        return super().check()

    def _connect(self) -> Cloud:
        address = self.service_address(self.auth_url)
        from mistcore_providers._openstack_cloud import Cloud
        from mistcore_providers._openstack_login import Keys, KeystoneLogin

        keys = Keys(username=self.username, password=self.password, project_name=self.tenant_name)
        login = KeystoneLogin(address, keys, self._seconds)
        return Cloud(
            login,
            self._seconds,
            region=self.region,
            name_lookup=self.name_lookup,
            verify=self.verify,
            ca_cert=self.ca_cert,
        )
