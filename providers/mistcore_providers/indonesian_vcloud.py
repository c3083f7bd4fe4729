"""Indonesian Cloud: a vCloud Director with an address of its own."""

from __future__ import annotations

from mistcore import credential
from mistcore_providers.vcloud import Vcloud


class IndonesianVcloud(Vcloud):
    """The virtual machines of an organisation at Indonesian Cloud, which is a vCloud Director.

    The address is the one in the vendor's manual. Whether it answers today could not be verified; give another as
    `host` if it does not.
    """

    title = "Indonesian Cloud"
    limits = ("The address is the one in the vendor's manual; whether it answers today could not be verified.",)

    host: str = credential(
        "Host",
        default="compute.idcloudonline.com",
        help="Name or address of the service, where it is not the usual one.",
        address=True,
    )
