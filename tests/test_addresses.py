from mistcore.addresses import split_addresses


def test_public_and_private_are_told_apart_and_nonsense_is_left_out() -> None:
    given = ["8.8.8.8", " 10.0.0.1", "2606:4700::1", "fe80::1", "", "nonsense", "127.0.0.1", None]
    assert split_addresses(given) == (["8.8.8.8", "2606:4700::1"], ["10.0.0.1"])
    assert split_addresses(["fd00::1/64", "192.168.1.1%eth0", "::", "ff02::1"]) == ([], ["fd00::1", "192.168.1.1"])
