import ipaddress
from random import Random

from mistcore.addresses import split_addresses


def test_public_and_private_are_told_apart_and_nonsense_is_left_out() -> None:
    given = ["8.8.8.8", " 10.0.0.1", "2606:4700::1", "fe80::1", "", "nonsense", "127.0.0.1", None]
    assert split_addresses(given) == (["8.8.8.8", "2606:4700::1"], ["10.0.0.1"])
    assert split_addresses(["fd00::1/64", "192.168.1.1%eth0", "::", "ff02::1"]) == ([], ["fd00::1", "192.168.1.1"])


def test_short_cuts_say_what_the_standard_library_says() -> None:
    random = Random(4711)
    every_half = [f"{half >> 8}.{half & 255}" for half in range(0, 65536, 5)]
    every_half += ["10.0", "100.64", "100.127", "127.0", "169.254", "172.16", "172.31", "172.32", "192.0", "192.168"]
    every_half += ["0.0", "192.88", "198.18", "198.19", "198.51", "203.0", "224.0", "239.255", "240.0", "255.255"]
    given = [f"{half}.{low}" for half in every_half for low in ("0.0", "2.1", "100.7", "113.9", "255.255")]
    firsts = [*range(0x1FF0, 0x2010), *range(0x2FF0, 0x3010), 0, 0x64, 0x100, 0x3FFF, 0xFC00, 0xFD12, 0xFE80, 0xFEC0]
    for first in [*firsts, *(random.randrange(65536) for _ in range(3000))]:
        rest = [random.choice((0, 0, 1, random.randrange(65536))) for _ in range(7)]
        given.append(":".join(f"{part:x}" for part in (first, *rest)))
    given += ["2001:DB8::1", "2A01:7E00:0:0::1", "2001:0db8::", "::ffff:1.2.3.4", "2a01::1.2.3.4", "2a01:::1", "::"]
    given += ["01.2.3.4", "1.2.3", "1.2.3.256", "1.2.3.4.5", "٣.2.3.4"]
    expected: tuple[list[str], list[str]] = ([], [])
    for text in given:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if not (address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast):
            expected[not address.is_global].append(str(address))
    assert split_addresses(given) == expected
