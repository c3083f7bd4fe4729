import copy
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from fakes.acme import GOOD, Acme

from mistcore import (
    Account,
    InvalidFields,
    Machine,
    MissingDependency,
    NotSupported,
    Provider,
    ProviderError,
    Region,
    ServiceRetired,
    UnknownRegion,
    credential,
    secret,
)
from mistcore.errors import chained
from mistcore.provider import contract_problems


def test_an_instance_is_an_account_that_needs_no_manager() -> None:
    acme = Acme(token=GOOD, region="fra")
    assert acme.check() == Account("42", "me@acme.example")
    assert [machine.id for machine in acme.list_machines()] == ["m-1001", "m-1002", "m-2001"]
    assert acme.get_machine("m-1002").name == "db"


def test_all_problems_are_named_at_once_and_unknown_names_with_the_nearest() -> None:
    with pytest.raises(InvalidFields) as caught:
        Acme(tokn="x", port="many", verify="maybe", region="frb")
    assert set(caught.value.problems) == {"tokn", "token", "port", "verify", "region"}
    assert "did you mean token" in caught.value.problems["tokn"]
    assert "fra" in caught.value.problems["region"]
    assert caught.value.provider == "acme"


def test_pasted_white_space_is_stripped_and_values_converted() -> None:
    acme = Acme(token=f" {GOOD}\n", port=" 8443 ", verify="no", region=" FRA ")
    assert (acme.token, acme.port, acme.verify, acme.region) == (GOOD, 8443, False, "fra")


def test_an_empty_required_value_is_missing() -> None:
    with pytest.raises(InvalidFields, match=r"token: missing \(API token\)"):
        Acme(token="  ", region="fra")


def test_regions_go_by_id_or_alias_and_are_required() -> None:
    assert Acme(token=GOOD, region="acme_fra").region == "fra"
    with pytest.raises(UnknownRegion, match="no region 'moon'"):
        Acme(token=GOOD, region="moon")
    with pytest.raises(InvalidFields, match="region: missing .*one of fra, sin"):
        Acme(token=GOOD)


def test_a_provider_without_regions_refuses_one() -> None:
    class Plain(Provider):
        title = "Plain"

    with pytest.raises(InvalidFields, match="region: Plain has no regions"):
        Plain(region="fra")
    assert Plain(region="").region == ""


def test_a_region_of_ones_own_declaration_is_free_text() -> None:
    class Open(Provider):
        title = "Open"
        region: str = credential("Region", default="", help="As the catalog calls it.")

    assert Open(region="RegionOne").region == "RegionOne"
    assert Open().region == ""
    assert [field.name for field in Open.fields()] == ["region"]


def test_nothing_secret_shows_in_repr_str_pickle_or_copy() -> None:
    acme = Acme(token=GOOD, region="fra")
    assert GOOD not in repr(acme) + str(acme)
    assert GOOD.encode() not in pickle.dumps(acme)
    other = pickle.loads(pickle.dumps(acme))
    assert other.region == "fra"
    with pytest.raises(InvalidFields, match="give it again"):
        _ = other.token
    assert GOOD not in repr(copy.copy(acme))


def test_a_validator_says_what_is_wrong_without_showing_a_secret() -> None:
    def short(value: str) -> None:
        if len(value) > 4:
            raise ValueError(f"{value} is too long")

    class Strict(Provider):
        title = "Strict"
        key: str = secret("Key", validator=short)
        nick: str = credential("Nick", default="", validator=short)

    with pytest.raises(InvalidFields) as caught:
        Strict(key="s3cr3t-value", nick="abcdef")
    assert caught.value.problems == {"key": "… is too long", "nick": "abcdef is too long"}
    assert caught.value.__cause__ is None


def test_choices_are_the_only_values() -> None:
    class Choosy(Provider):
        title = "Choosy"
        cloud: str = credential("Cloud", default="public", choices=("public", "china"))

    assert Choosy().cloud == "public"
    with pytest.raises(InvalidFields, match="must be one of public, china"):
        Choosy(cloud="moon")


def test_references_are_resolved_when_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACME_SECRET", f"{GOOD}\n")
    assert Acme(token="env:ACME_SECRET", region="fra").token == GOOD
    (tmp_path / "token").write_text(f"{GOOD}\n")
    assert Acme(token=f"file:{tmp_path}/token", region="fra").token == GOOD
    home = Path.home()
    (home / "token").write_text(GOOD)
    assert Acme(token="file:~/token", region="fra").token == GOOD
    monkeypatch.setenv("ACME_REGION", "acme_fra")
    assert Acme(token=GOOD, region="env:ACME_REGION").region == "fra"


def test_references_that_lead_nowhere_are_named_all_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidFields) as caught:
        Acme(token="env:NO_SUCH", endpoint=f"file:{tmp_path}/none", region="fra")
    assert "NO_SUCH is not set" in caught.value.problems["token"]
    assert "cannot read" in caught.value.problems["endpoint"]


def test_rules_over_several_fields() -> None:
    class Either(Provider):
        title = "Either"
        host: str = credential("Host", default="")
        uri: str = credential("URI", default="")

        def problems(self) -> dict[str, str]:
            return {} if bool(self.host) != bool(self.uri) else {"host": "give either host or uri"}

    assert Either(host="a").host == "a"
    with pytest.raises(InvalidFields, match="either host or uri"):
        Either()


def test_a_field_needs_a_label_and_a_declaration() -> None:
    with pytest.raises(TypeError, match="needs a label"):
        credential(" ")
    with pytest.raises(TypeError, match="annotated but not declared"):

        class Bare(Provider):
            title = "Bare"
            token: str = "x"


def test_an_attrs_class_declared_twice_is_refused() -> None:
    class Once(Provider):
        title = "Once"
        token: str = secret("Token")

        def check(self) -> Account: ...
        def list_machines(self): ...

    assert contract_problems(Once) == []
    with pytest.raises(TypeError, match=r"drop its own @attrs\.define"):
        attrs.define(Once)
    assert contract_problems(attrs.define(slots=False)(Once))


def test_field_names_that_the_manager_needs_are_refused() -> None:
    with pytest.raises(TypeError, match="may not be called title"):

        class Clash(Provider):
            title: str = credential("Title")  # type: ignore[misc]


def test_what_a_provider_supports_is_what_it_overrides() -> None:
    assert Acme.supports("start_machine")
    assert not Acme.supports("reboot_machine")
    assert "create_machine" in Acme.operations()
    with pytest.raises(NotSupported, match="Acme Cloud cannot reboot machine"):
        Acme(token=GOOD, region="fra").reboot_machine("m-1001")


def test_sdk_errors_become_ours_in_one_place_also_while_iterating() -> None:
    class SdkError(Exception): ...

    class Sdk(Provider):
        title = "Sdk"
        strict: bool = credential("Strict", default=False)

        def check(self) -> Account:
            raise SdkError("boom")

        def list_machines(self):
            yield Machine("1")
            raise SdkError("boom")

        def start_machine(self, machine_id: str) -> None:
            import no_such_sdk  # noqa: F401

        def stop_machine(self, machine_id: str) -> None:
            import no_such_sdk  # noqa: F401

        def translate_error(self, error: Exception):
            if self.strict:
                from no_such_sdk.errors import SdkError as _  # noqa: F401
            return ProviderError(f"sdk: {error}") if isinstance(error, SdkError) else None

    sdk = Sdk()
    with pytest.raises(ProviderError, match="sdk: boom") as caught:
        sdk.check()
    assert isinstance(caught.value.__cause__, SdkError)
    assert caught.value.provider == "sdk"
    machines = iter(sdk.list_machines())
    assert next(machines).id == "1"
    with pytest.raises(ProviderError, match="sdk: boom"):
        next(machines)
    with pytest.raises(MissingDependency, match="pip install no_such_sdk"):
        sdk.start_machine("1")
    with pytest.raises(MissingDependency, match="pip install no_such_sdk"):  # its translation needs the SDK, too
        Sdk(strict=True).stop_machine("1")


@pytest.mark.parametrize("known", [True, False])
def test_an_error_holds_no_variables_of_the_functions_it_came_through(known: bool) -> None:
    class Held(Provider):
        title = "Held"

        def check(self) -> Account:
            return ask("held")

        def list_machines(self):
            answer = "held"
            yield Machine("1")
            ask(answer)

        def start_machine(self, machine_id: str) -> None:
            interrupted("held")

        def translate_error(self, error: Exception):
            return ProviderError("not a number") if known else None

    def ask(answer: str) -> Account:
        try:
            return Account(str(int(answer)))
        except ValueError as error:
            raise LookupError from error

    def held(error: BaseException) -> list[object]:
        frames = [frame for each in chained(error) for frame, _ in traceback.walk_tb(each.__traceback__)]
        return [value for frame in frames if frame.f_code.co_filename == __file__ for value in frame.f_locals.values()]

    def failing(function: Callable[[], object]) -> BaseException:
        with pytest.raises((ProviderError, LookupError, KeyboardInterrupt)) as caught:
            function()
        return caught.value

    def interrupted(answer: str) -> None:
        raise KeyboardInterrupt

    account = Held()
    assert "held" in held(failing(lambda: Held.check.__wrapped__(account)))  # type: ignore[attr-defined]
    assert "held" not in held(failing(account.check))
    assert "held" not in held(failing(lambda: list(account.list_machines())))
    assert "held" not in held(failing(lambda: account.start_machine("1")))


def test_a_retired_service_needs_an_address() -> None:
    class Gone(Provider):
        title = "Gone"
        retired = "closed in 2016; use openstack instead"
        endpoint: str = credential("Address", default="", address=True)

        def check(self) -> Account:
            return Account(self.service_address(self.endpoint))

    with pytest.raises(ServiceRetired, match="closed in 2016"):
        Gone().check()
    assert Gone(endpoint="http://127.0.0.1").check().id == "http://127.0.0.1"


def test_the_contract_is_checked_in_words() -> None:
    class Nothing(Provider):
        regions = (Region("a"), Region("b", aliases=("a",)))

    assert contract_problems(Nothing) == [
        "it has no title",
        "two of its regions share an id or alias",
        "it does not define check()",
        "it does not define list_machines()",
    ]
    assert "not a subclass" in contract_problems(dict)[0]

    class Told(Acme):
        rights = """
        To read, nothing.

            $ code
        """
        limits = ("It has one machine.",)

    assert contract_problems(Told) == []
    assert Told.rights == "To read, nothing.\n\n    $ code"

    class Mistold(Acme):
        rights = ("To read, nothing.",)
        limits = "It has one machine."

    assert contract_problems(Mistold) == ["its rights are not a text", "its limits are not a tuple of sentences"]
    assert contract_problems(Acme) == []
