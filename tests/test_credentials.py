import ipaddress
import traceback

import pytest

from mistcore import CredentialField
from mistcore.credentials import clean, convert, is_reference, nearest

FIELDS = (
    CredentialField("token", "API token", required=True, secret=True),
    CredentialField("port", "Port", type="int"),
    CredentialField("ratio", "Ratio", type="float"),
    CredentialField("verify", "Verify", type="bool"),
)


def test_cleaning_keeps_what_was_given_and_drops_what_is_empty() -> None:
    cleaned, problems = clean(FIELDS, {"token": " t ", "port": "22", "ratio": "1.5", "verify": "off"})
    assert cleaned == {"token": "t", "port": 22, "ratio": 1.5, "verify": False}
    assert problems == {}
    assert clean(FIELDS, {"token": "t", "port": "", "ratio": None}) == ({"token": "t"}, {})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("port", "22a", "whole number"),
        ("port", True, "whole number"),
        ("port", 2.5, "whole number"),
        ("ratio", "much", "must be a number"),
        ("ratio", True, "must be a number"),
        ("verify", "maybe", "true or false"),
        ("token", 7, "must be text"),
        ("token", "a\0b", "NUL"),
        ("tokne", "x", "did you mean token"),
        ("zzz", "x", "unknown field"),
    ],
)
def test_problems_are_said_in_words(name: str, value: object, words: str) -> None:
    _, problems = clean(FIELDS, {"token": "t", name: value})
    assert words in problems[name]


def test_references_stay_as_written_whatever_the_type() -> None:
    cleaned, problems = clean(FIELDS, {"token": "env:TOKEN", "port": "file:~/port"})
    assert (cleaned, problems) == ({"token": "env:TOKEN", "port": "file:~/port"}, {})
    assert [is_reference(v) for v in ("env:", "environment", "env:A", 7, "file:/x", "")] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_problem_of_a_secret_never_shows_it() -> None:
    def refuse(value: str) -> None:
        raise ValueError(f"{value!r} is bad")

    field, password = CredentialField("token", "API token", secret=True, validator=refuse), "hunter" + "22"
    with pytest.raises(ValueError, match="…") as caught:
        convert(field, password)
    assert password not in str(caught.value)
    assert password not in "".join(traceback.format_exception(caught.value))


def test_a_problem_of_what_is_no_secret_keeps_its_cause() -> None:
    field = CredentialField("address", "Address", validator=ipaddress.ip_address)
    with pytest.raises(ValueError, match="'nowhere' does not appear") as caught:
        convert(field, "nowhere")
    assert isinstance(caught.value.__cause__, ValueError)


def test_nearest_words() -> None:
    assert nearest("tokne", ["token", "port"]) == ["token"]
    assert nearest("zzz", ["token"]) == []
