"""The suite for authors finds what it is there to find: providers with one fault each, in
tests/fakes/suspects.py, suspects_tortured.py and suspects_wired.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mistcore.testing.certificates import BAD

TESTS = Path(__file__).parent
#: What must fail for each provider.
EXPECTED = {
    "NoHelp": {"test_every_field_says_where_to_get_its_value"},
    "OpenSecret": {"test_what_is_secret_is_marked"},
    "CaseOfRegions": {"test_regions_are_unique"},
    "Positional": {"test_operations_take_what_everybody_passes"},
    "TellsTheToken": {"test_bad_credentials_are_refused"},
    "RaisesItsOwn": {"test_bad_credentials_are_refused"},
    "AcceptsAnything": {"test_bad_credentials_are_refused"},
    "ShowsTheToken": {"test_an_account_shows_no_secret"},
    "Malformed": {"test_machines_are_well_formed"},
    "SameIds": {"test_machines_are_well_formed"},
    "SilentlyNothing": {"test_a_machine_that_is_not_there[start_machine]"},
    "NeverStarts": {"test_every_action_is_done_or_clearly_refused[start_machine]"},
    "ListsAnything": {"test_what_it_lists_is_well_formed[list_sizes]"},
    "WaitsForever": {"test_a_service_that_never_answers_ends_with_the_deadline[check]"},
    "OneAtATime": {"test_several_threads_use_one_account"},
    "ClosedForGood": {"test_it_may_be_closed_at_any_time"},
    "BringsAnSdk": {"test_importing_it_imports_no_sdk"},
    "NoAddress": {"test_the_address_can_be_given"},
    "Trusting": {
        "test_nobody_listens",
        "test_a_name_that_does_not_resolve",
        "test_a_redirect_elsewhere_carries_nothing_away[302]",
        "test_a_redirect_to_plain_http_carries_nothing_away[302]",
    },
    "TrustsAnybody": {f"test_a_certificate[{what}]" for what in BAD},
    "CountsFromTheLastByte": {
        "test_a_slow_answer_ends_with_the_deadline[its headers, a byte a second]",
        "test_a_slow_answer_ends_with_the_deadline[its body, a byte a second]",
        "test_http_without_an_end[trailers]",
    },
    "TakesItAll": {f"test_a_huge_answer_is_not_taken_in[{way}]" for way in ("announced", "in chunks", "packed")},
    "FetchesEntities": {"test_a_trap_in_xml[an entity in a file]", "test_a_trap_in_xml[an entity elsewhere]"},
    "GrowsEntities": {"test_a_trap_in_xml[a quadratic blow-up]"},
    "StopsAfterOnePage": {"test_the_same_page_for_ever[ever new ones]"},
    "TurnsEveryPage": {f"test_the_same_page_for_ever[{marks}]" for marks in ("the same again", "ever new ones")},
    "KeepsItToItself": {"test_a_refusal_as_the_service_words_it[500]"},
    "BlamesTheToken": {f"test_a_refusal_as_the_service_words_it[{status}]" for status in (404, 409, 429, 500, 503)},
    "AsksAgain": {"test_a_change_that_goes_wrong[start_machine]"},
    "BelievesInSuccess": {"test_a_change_that_goes_wrong[start_machine]"},
    "TrustsNobody": {"test_a_certificate_that_is_right"},
    "TellsWhoeverListens": {"test_somebody_else_is_at_the_port[hangs up on the first words]"},
    "BlamesThePassword": {"test_somebody_else_is_at_the_port[hangs up at once]"},
    "WaitsForTheRest": {"test_somebody_else_is_at_the_port[says nothing]"},
    "TakesAllThatComes": {"test_somebody_else_is_at_the_port[says garbage]"},
    "HidesThatNobodyIsThere": {"test_nobody_is_at_the_port"},
}


@pytest.fixture(scope="module")
def failed() -> dict[str, set[str]]:
    """The tests that failed, by provider."""
    suite = TESTS / "fakes" / "suspects_suite.py"
    chosen = [f"{suite}::Test{provider}::{test}" for provider, tests in EXPECTED.items() for test in sorted(tests)]
    result = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-rfE",
            "--tb=no",
            f"{suite}::TestGood",
            f"{suite}::TestLines",
            *chosen,
        ],
        cwd=TESTS.parent,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    found: dict[str, set[str]] = {}
    for line in result.stdout.splitlines():
        match = re.match(r"(?:FAILED|ERROR) \S+::Test(\w+)::(test_\w+(?:\[[^\]]*\])?)", line)
        if match:
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_a_good_provider_passes(failed: dict[str, set[str]]) -> None:
    assert "Good" not in failed
    assert "Lines" not in failed


@pytest.mark.parametrize("provider", EXPECTED)
def test_each_fault_is_found(failed: dict[str, set[str]], provider: str) -> None:
    assert failed.get(provider, set()) >= EXPECTED[provider]


def test_importing_the_building_blocks_imports_no_pytest() -> None:
    code = "import sys, mistcore.testing, mistcore.testing.server, mistcore; print('pytest' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_nothing_else_imports_it() -> None:
    import mistcore

    package = Path(str(mistcore.__file__)).parent
    others = [path for path in package.rglob("*.py") if path.parent.name != "testing"]
    assert others
    assert [path for path in others if re.search(r"^\s*(from|import) mistcore\.testing", path.read_text(), re.M)] == []
