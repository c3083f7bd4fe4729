import copy
import pickle

import pytest

import mistcore
from mistcore import errors


def test_every_error_has_the_one_root() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__ if name not in ("PartialResult", "PluginWarning")]
    assert all(issubclass(kind, errors.MistError) for kind in kinds)
    assert set(errors.__all__) <= set(mistcore.__all__)


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = errors.Unreachable("no answer", remedy="Check the address.", reason="dns", provider="ec2", backend="prod")
    assert str(error) == "backend 'prod', ec2: no answer. Check the address."
    assert (error.message, error.reason, error.remedy) == ("no answer", "dns", "Check the address.")


@pytest.mark.parametrize(
    "error",
    [
        errors.RateLimited("slow down", retry_after=29.0, backend="prod"),
        errors.InvalidFields({"token": "missing"}, provider="acme"),
        errors.UnknownProvider("ec3", nearest=["ec2"]),
        errors.AmbiguousName("web", {"a": "web", "b": "web"}),
        errors.StoreError("full", location="/x"),
        errors.ProviderError("nonsense", status=502),
    ],
)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_errors_come_whole_through_pickle_and_copy(error: errors.MistError, again) -> None:
    other = again(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


def test_a_rate_limit_says_when_to_come_back() -> None:
    assert "in 29 seconds" in str(errors.RateLimited("too fast", retry_after=29))
    assert "later" in str(errors.RateLimited("too fast"))


def test_backends_failed_is_a_group_of_their_errors() -> None:
    first, second = errors.AuthenticationFailed("no"), errors.Unreachable("gone", reason="refused")
    failed = errors.BackendsFailed({"a": first, "b": second}, ["machine"])
    with pytest.raises(ExceptionGroup):
        raise failed
    assert failed.exceptions == (first, second)
    assert failed.machines == ["machine"]
    assert "2 backends failed" in str(failed)
    matched, rest = failed.split(errors.Unreachable)
    assert matched is not None
    assert rest is not None
    assert pickle.loads(pickle.dumps(failed)).failures.keys() == failed.failures.keys()


def test_a_name_that_hundreds_answer_to_makes_a_short_message() -> None:
    error = errors.AmbiguousName("web", {f"m-{number}": "web" for number in range(200)}, kind="machine")
    assert len(error.candidates) == 200
    assert str(error).startswith("200 machines answer to 'web': m-0, m-1, ")
    assert "m-7 and 192 more. Use the id" in str(error)
