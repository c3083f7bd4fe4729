import json
import pickle
import re
from collections.abc import Callable

import pytest

from mistcore.errors import InvalidFields, ProviderError
from mistcore.redaction import MASK, hide, hide_in_error, leave_words_only, let_go


@pytest.mark.parametrize(
    "text",
    ["token s3cr3t/+=x end", "https://u:s3cr3t%2F%2B%3Dx@host/", "plain s3cr3t/+=x", repr("s3cr3t/+=x")],
)
def test_a_secret_is_hidden_in_every_form(text: str) -> None:
    hidden = hide(text, ["s3cr3t/+=x"])
    assert "s3cr3t" not in hidden
    assert MASK in hidden


def test_what_holds_no_secret_stays() -> None:
    assert hide("all is well", ["s3cr3t", "", "a"]) == "all is well"


def test_longer_secrets_go_first() -> None:
    assert hide("abcdef", ["abc", "abcdef"]) == MASK


def test_a_whole_chain_of_errors_is_cleaned() -> None:
    class Odd(Exception):
        def __init__(self) -> None:
            self.body = {"deep": ["s3cr3t"]}

        def __str__(self) -> str:
            return "odd s3cr3t"

    try:
        try:
            try:
                raise Odd
            except Odd:
                raise KeyError("s3cr3t", b"s3cr3t") from None
        except KeyError as error:
            raise InvalidFields({"token": "bad s3cr3t"}, remedy="not s3cr3t") from error
    except InvalidFields as error:
        hide_in_error(error, ["s3cr3t"])
        chain = [error, error.__cause__, error.__cause__.__context__]
    for each in chain:
        assert "s3cr3t" not in str(each.args) + repr(vars(each))
    assert chain[0].problems == {"token": f"bad {MASK}"}


def test_errors_in_groups_are_cleaned_too() -> None:
    group = ExceptionGroup("x", [ProviderError("s3cr3t")])
    hide_in_error(group, ["s3cr3t"])
    assert "s3cr3t" not in str(group.exceptions[0])


def _not_text(text: str) -> str:
    return text.encode().replace(b"open", b"\xff").decode()


@pytest.mark.parametrize("read", [json.loads, _not_text])
def test_an_error_of_reading_lets_go_of_what_was_read(read: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match="codec|delimiter") as caught:
        read('{"token": "open sesame"')
    error = caught.value
    assert "sesame" in repr([error, vars(error)])
    let_go(error)
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert "sesame" not in repr([each, vars(each)])
    assert re.search("^(Expecting ',' delimiter: line 1 col|'utf-8' codec can't decode byte 0xff)", str(error))


class Answer:
    """What an SDK's error holds: not a word of it is ours to show."""

    headers = {"Authorization": "s3cr3t"}

    def __str__(self) -> str:
        return "409 Conflict"


class SdkError(Exception):
    def __init__(self, message: object, response: object) -> None:
        super().__init__(message, response)
        self.response = response
        self.code = 409


def test_errors_behind_ours_keep_words_and_numbers_only() -> None:
    with pytest.raises(ProviderError) as caught:
        try:
            try:
                raise KeyError("shown to nobody")
            except KeyError:
                raise SdkError(["busy", {"since": 3}], Answer()) from None
        except SdkError as error:
            raise ProviderError("it is busy") from error
    error = caught.value
    leave_words_only(error)
    cause = error.__cause__
    assert isinstance(cause, SdkError)
    assert cause.args == (["busy", {"since": 3}], "409 Conflict")
    assert vars(cause) == {"response": None, "code": 409}
    assert cause.__context__ is None


def test_an_error_keeps_what_its_words_need() -> None:
    class Wordy(SdkError):
        def __str__(self) -> str:
            return f"409 {self.response.headers.keys()}"

    error = ProviderError("it is busy")
    error.__cause__ = Wordy("busy", Answer())
    leave_words_only(error)
    assert str(error.__cause__) == "409 dict_keys(['Authorization'])"
