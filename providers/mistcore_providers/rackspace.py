"""Rackspace: its OpenStack cloud by API key, and the API of its first generation where somebody still runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mistcore import Account, Machine, Region, ca_certificate, credential, secret, verification
from mistcore.errors import InvalidFields, ServiceRetired
from mistcore_providers._openstack import OpenStackProvider, address_problem, lookup

if TYPE_CHECKING:
    from mistcore_providers._openstack_cloud import Cloud

_IDENTITY = "https://identity.api.rackspacecloud.com/v2.0"
_FIRST_GEN = "rackspace_first_gen:"
_RETIRED = "its servers were moved to the next generation in 2015. Use dfw, ord or iad for the US, and lon for the UK"


class Rackspace(OpenStackProvider):
    """Servers of Rackspace's public cloud, or of an installation of its first generation.

    Sources: Rackspace's identity and Cloud Servers guides (docs-ospc.rackspace.com), and the Cloud Servers API v1.0
    guide for the first generation.
    """

    title = "Rackspace"
    regions = (
        Region("dfw", "Dallas"),
        Region("ord", "Chicago"),
        Region("iad", "N. Virginia"),
        Region("lon", "London"),
        Region("syd", "Sydney"),
        Region("hkg", "Hong Kong"),
        Region(_FIRST_GEN + "us", "US-First Gen"),
        Region(_FIRST_GEN + "uk", "UK-First Gen"),
    )
    extra = "openstack"
    _glance = False
    rights = """
    Control panel → account menu → User Management → Create User: a user with an API key of its own (My profile &
    settings), and of the products Cloud Servers only, in one of these roles:

    - to read, Observer (`nova:observer`);
    - to act and create, Creator (`nova:creator`);
    - to destroy as well, Admin (`nova:admin`).

    The key of the account's owner may do all there is.
    """
    limits = (
        "First generation has closed: its regions need an `endpoint`, and can list, reboot, rename, create, destroy.",
        "Networks need Neutron in the catalogue, and images are those that Nova lists.",
        "Permissions are not told by `check`.",
        "Never tried against Rackspace itself: it is tested with a stand-in that answers as Rackspace's documents say.",
    )

    username: str = credential("User name", help="The one that the control panel (login.rackspace.com) takes.")
    api_key: str = secret("API key", help="Control panel → account menu → My profile & settings → Rackspace API key.")
    endpoint: str = credential(
        "API address",
        default="",
        example=_IDENTITY,
        help="Of the identity service, where it is not Rackspace's own; or of a first generation's v1.0.",
        address=True,
        validator=address_problem,
    )
    ca_cert: str = ca_certificate()
    verify: bool = verification()
    name_lookup: bool = lookup()

    def check(self) -> Account:
        """Log in: one request, which proves user name, API key and region. See `OpenStackProvider.check`.

        Raises:
            ServiceRetired: first generation, and no `endpoint` was given.

        """
        return super().check()

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str,
        location: str = "",
        network: str | Sequence[str] = (),
        key: str = "",
        user_data: str = "",
        tags: Mapping[str, str] | None = None,
        security_groups: str | Sequence[str] = (),
        floating_ip: bool | str = False,
    ) -> Machine:
        """Create a server; see `OpenStackProvider.create_machine`. First generation takes image, size and tags only."""
        if not self._is_first_gen:
            return super().create_machine(
                name,
                image=image,
                size=size,
                location=location,
                network=network,
                key=key,
                user_data=user_data,
                tags=tags,
                security_groups=security_groups,
                floating_ip=floating_ip,
            )
        options = {
            "location": location,
            "network": network,
            "key": key,
            "user_data": user_data,
            "security_groups": security_groups,
            "floating_ip": floating_ip,
        }
        problems = {option: "not taken by first generation" for option, value in options.items() if value}
        if problems:
            raise InvalidFields(problems, provider=self.id)
        from mistcore_providers._rackspace_first_gen import FirstGen

        cloud = self._cloud()
        assert isinstance(cloud, FirstGen)  # noqa: S101 - for type checkers
        return self._created(cloud, name, *cloud.create(name, image=image, size=size, tags=tags or {}))

    @property
    def _is_first_gen(self) -> bool:
        return self.region.startswith(_FIRST_GEN)

    def _lacks(self, operation: str) -> bool:
        return self._is_first_gen and operation not in ("reboot_machine", "rename_machine", "destroy_machine")

    def _connect(self) -> Cloud:
        if self._is_first_gen:
            if not self.endpoint:
                raise ServiceRetired(
                    f"Rackspace's first generation has closed: {_RETIRED}",
                    remedy="Nothing was sent. Give an endpoint to use a private installation of it.",
                )
            from mistcore_providers._rackspace_first_gen import FirstGen, HeaderLogin

            return FirstGen(
                HeaderLogin(self.endpoint, self.username, self.api_key, self._seconds),
                self._seconds,
                region=self.region.removeprefix(_FIRST_GEN),
                name_lookup=self.name_lookup,
                verify=self.verify,
                ca_cert=self.ca_cert,
            )
        from mistcore_providers._openstack_cloud import Cloud
        from mistcore_providers._openstack_login import ApiKeyLogin

        login = ApiKeyLogin(self.endpoint or _IDENTITY, self.username, self.api_key, self._seconds)
        return Cloud(
            login,
            self._seconds,
            region=self.region,
            service="cloudServersOpenStack",
            microversions=False,
            name_lookup=self.name_lookup,
            verify=self.verify,
            ca_cert=self.ca_cert,
        )
