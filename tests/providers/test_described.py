"""What holds two providers and their stand-ins against the vendors' documents finds what is wrong: it can fail."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from fakes.described import Foreign
from fakes.digitalocean import TOKEN, FakeDigitalOcean
from fakes.linode import TOKEN as LINODE_TOKEN
from fakes.linode import FakeLinode
from fakes.linode_document import CORRECTIONS, a_page_of_vpcs, the_body_of_a_new_linode, times_without_a_zone
from fakes.openapi import Correction, OpenApi, document

from mistcore import AuthenticationFailed, MistError, ProviderError, RateLimited, Rejected
from mistcore.deadline import deadline
from mistcore.parallel import in_parallel
from mistcore.testing.server import Request, Response, json_response, route
from mistcore_providers.digitalocean import DigitalOcean
from mistcore_providers.linode import Linode

LINODE = FakeLinode.DOCUMENT


@pytest.fixture
def digitaloceans(api_specs: Path) -> OpenApi:
    found = document(FakeDigitalOcean.DOCUMENT)
    assert found is not None
    return found


@pytest.fixture
def linodes(api_specs: Path) -> OpenApi:
    found = document(LINODE, CORRECTIONS)
    assert found is not None
    return found


def request(
    method: str, path: str, body: Any = None, query: dict[str, str] | None = None, **headers: str | None
) -> Request:
    """Return a request as a provider would send it, but for the headers given; None leaves one out."""
    usual: dict[str, str | None] = {"Authorization": f"Bearer {TOKEN}"}
    if body is not None:
        usual["Content-Type"] = "application/json"
    sent = {name: value for name, value in (usual | headers).items() if value is not None}
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lists = {name: value.split("|") for name, value in (query or {}).items()}
    return Request(method, path, {name: values[-1] for name, values in lists.items()}, lists, sent, raw)


def refusal(status: int, **body: Any) -> Response:
    return json_response(body or {"id": "wrong", "message": "It is wrong."}, status)


# -- requests ---------------------------------------------------------------------------------------------------------

ACTIONS = "/v2/droplets/7/actions"
DROPLET = {"name": "web-1", "image": "debian-12-x64", "size": "s-1vcpu-1gb"}
GOOD_REQUESTS = [
    request("GET", "/v2/droplets", query={"page": "1", "per_page": "200", "type": "gpus"}),
    request("POST", "/v2/droplets", DROPLET | {"ssh_keys": [42, "3b:16"], "image": 101, "backups": True}),
    request("POST", ACTIONS, {"type": "reboot"}),
    request("POST", ACTIONS, {"type": "rename", "name": "web-2"}),
    request("DELETE", "/v2/droplets/7"),
    request("DELETE", "/v2/droplets/7/destroy_with_associated_resources/selective", {"volumes": ["v-1"]}),
]
WRONG_REQUESTS: list[tuple[Request, str]] = [
    (request("PUT", "/v2/droplets"), "no such operation"),
    (request("GET", "/v2/dropletz"), "no such operation"),
    (request("GET", "/v2/droplets/web-1"), "'droplet_id': value: 'web-1' is not of type 'integer'"),
    (request("GET", "/v2/droplets/0"), "less than the minimum"),
    (request("GET", "/v2/droplets", query={"colour": "red"}), "the parameter 'colour' is not known"),
    (request("GET", "/v2/droplets", query={"page": "first"}), "'page': value: 'first' is not of type 'integer'"),
    (request("GET", "/v2/droplets", query={"page": "1|2"}), "'page': it is given more than once"),
    (request("GET", "/v2/droplets", query={"per_page": "201"}), "greater than the maximum"),
    (request("GET", "/v2/droplets", query={"type": "cheap"}), "'cheap' is not one of"),
    (request("GET", "/v2/droplets", Authorization=None), "there is no token"),
    (request("GET", "/v2/droplets", Authorization=f"Token {TOKEN}"), "there is no token"),
    (request("GET", "/v2/droplets", Authorization="Bearer two words"), "there is no token"),
    (request("GET", "/v2/droplets", **{"X-Filter": "{}"}), "the header 'x-filter' is not known"),
    (request("GET", "/v2/droplets", {"page": 1}), "a body where none belongs"),
    (request("POST", "/v2/account/keys"), "the body is missing"),
    (request("POST", ACTIONS, {"type": "reboot"}, **{"Content-Type": "text/plain"}), "body is of the type text/plain"),
    (request("POST", ACTIONS, {"type": "reboot"}, **{"Content-Type": None}), "of the type that it does not tell"),
    (request("POST", ACTIONS, b'{"type": '), "the body is not JSON"),
    (request("POST", ACTIONS, {"type": "dance"}), "{'type': 'dance'} is not valid"),
    (request("POST", ACTIONS, {"type": "reboot", "colour": "red"}), "the property 'colour' is not known"),
    (request("POST", ACTIONS, {"type": "rename", "name": 7}), "name: 7 is not of type 'string'"),
    (request("POST", ACTIONS, {"type": "restore", "image": "web"}), "image: 'web' is not of type 'integer'"),
    (request("POST", "/v2/droplets", DROPLET | {"name": "no spaces"}), "not valid under any"),
    (request("POST", "/v2/droplets", {"name": "web-1"}), "not valid under any"),
    (request("POST", "/v2/droplets", DROPLET | {"backup_policy": {"noon": True}}), "'backup_policy.noon'"),
    (request("POST", "/v2/account/keys", {"name": "me", "public_key": "ssh-rsa A", "id": 7}), "read-only property"),
]  # fmt: skip


def test_good_requests_are_good(digitaloceans: OpenApi) -> None:
    assert [digitaloceans.request_problems(good) for good in GOOD_REQUESTS] == [[]] * len(GOOD_REQUESTS)


@pytest.mark.parametrize(("wrong", "words"), WRONG_REQUESTS, ids=[words for _, words in WRONG_REQUESTS])
def test_a_wrong_request_is_caught(digitaloceans: OpenApi, wrong: Request, words: str) -> None:
    (problem,) = digitaloceans.request_problems(wrong)
    assert words in problem
    # Also when it is refused: nothing about the answer is looked at here.
    assert any(words in found for found in digitaloceans.problems(wrong, refusal(401)))


def test_a_header_that_the_document_describes_is_held_against_it(linodes: OpenApi) -> None:
    def said(filter: str) -> list[str]:
        return linodes.request_problems(request("GET", "/v4/linode/instances", **{"X-Filter": filter}))

    assert said('{"label": "web-1"}') == []
    assert "the parameter 'X-Filter'" in said("label=web-1")[0]
    assert "the header 'x-filter' is not known" in linodes.request_problems(
        request("GET", "/v4/regions", **{"X-Filter": "{}"})
    )[0]  # fmt: skip


# -- answers ----------------------------------------------------------------------------------------------------------

AN_ACTION = {"action": {"id": 1, "status": "completed", "type": "reboot"}}
WRONG_ANSWERS: list[tuple[Response, str]] = [
    (json_response({"action": {"id": "x"}}, 201), "action.id: 'x' is not of type 'integer'"),
    (json_response(AN_ACTION, 201, {"ratelimit-limit": "many"}), "'ratelimit-limit': value: 'many' is not of type"),
    (json_response(AN_ACTION, 201, content_type="text/html"), "has a body of the type text/html"),
    (Response(201, b'{"action": ', {"Content-Type": "application/json"}), "is not JSON"),
    (Response(201, b"{}"), "of the type that it does not tell"),
    (Response(201), "the answer 201 has no body"),
    (refusal(401, message="Who are you?"), "the answer 401: value: 'id' is a required property"),
    (refusal(403, id="forbidden", message=["no"]), "the answer 403: message: ['no'] is not of type 'string'"),
    (refusal(404, id=404, message="gone"), "the answer 404: id: 404 is not of type 'string'"),
    (refusal(409, error="conflict"), "the answer 409: value: 'id' is a required property"),
    (refusal(422, errors=[{"reason": "bad"}]), "the answer 422: value: 'id' is a required property"),
    (refusal(429, id="too_many_requests"), "the answer 429: value: 'message' is a required property"),
    (refusal(500, id="server_error", message=None), "the answer 500: message: None for not nullable"),
    (Response(503, b"<html>", {"Content-Type": "text/html"}), "the answer 503 has a body of the type text/html"),
    (Response(500), "the answer 500 has no body"),
]


def test_good_answers_are_good(digitaloceans: OpenApi) -> None:
    asked = request("POST", ACTIONS, {"type": "reboot"})
    for answer in (json_response(AN_ACTION, 201), *(refusal(status) for status in (401, 403, 404, 409, 422, 429, 503))):
        assert digitaloceans.problems(asked, answer) == []


@pytest.mark.parametrize(("answer", "words"), WRONG_ANSWERS, ids=[words for _, words in WRONG_ANSWERS])
def test_a_wrong_answer_is_caught(digitaloceans: OpenApi, answer: Response, words: str) -> None:
    problems = digitaloceans.problems(request("POST", ACTIONS, {"type": "reboot"}), answer)
    assert any(words in problem for problem in problems), problems


def test_an_answer_without_a_body_may_have_none(digitaloceans: OpenApi) -> None:
    asked = request("DELETE", "/v2/droplets/7")
    assert digitaloceans.problems(asked, Response(204)) == []
    assert "has a body" in digitaloceans.problems(asked, json_response({}, 204))[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (json_response({"errors": "no"}, 401), "the answer 401: errors: 'no' is not of type 'array'"),
        (json_response({"message": "too fast"}, 429), "the answer 429: value: Additional properties are not allowed"),
        (json_response({"errors": [{"reason": 7}]}, 500), "the answer 500: errors.0.reason: 7 is not of type 'string'"),
        (json_response({"id": "7"}), "the answer 200: id: '7' is not of type 'integer'"),
        (json_response({"status": "dancing"}), "'dancing' is not one of"),
        (json_response({"colour": "red"}), "Additional properties are not allowed"),
        (json_response({"created": "2024-01-02"}), "is not a 'date-time-without-zone'"),
    ],
)
def test_a_wrong_answer_of_linode_is_caught(linodes: OpenApi, answer: Response, words: str) -> None:
    asked = request("GET", "/v4/linode/instances/7")
    assert linodes.problems(asked, json_response({"errors": [{"reason": "Not found"}]}, 404)) == []
    (problem,) = linodes.problems(asked, answer)
    assert words in problem


def test_what_a_limited_token_is_shown(digitaloceans: OpenApi) -> None:
    asked = request("GET", "/v2/account")
    account = FakeDigitalOcean(described=False).account

    def shown(*scopes: str, **changes: Any) -> list[str]:
        body = {name: value for name, value in (account | changes).items() if value is not ...}
        return digitaloceans.problems(asked, json_response({"account": body}), scopes.__contains__)

    assert shown("account:read", "droplet:read", "reserved_ip:read") == []
    assert shown("account:read", "droplet:read", floating_ip_limit=...) == []
    assert "'floating_ip_limit' is shown to a token without the scope reserved_ip:read" in shown(
        "account:read", "droplet:read"
    )[0]  # fmt: skip
    assert "'droplet_limit' is a required property" in shown(
        "account:read", "droplet:read", "reserved_ip:read", droplet_limit=...
    )[0]  # fmt: skip
    assert "given to a token without the scope account:read" in shown("droplet:read", "reserved_ip:read")[0]
    hidden = {"droplet_limit": ..., "floating_ip_limit": ...}
    assert shown("account:read", **hidden) == []
    assert "'email' is a required property" in shown("account:read", email=..., **hidden)[0]


# -- the stand-ins ----------------------------------------------------------------------------------------------------


def heard(service: FakeDigitalOcean | FakeLinode, ask: Callable[[str], Any]) -> str:
    """Return what the stand-in says at its end about what was said to it, and by it."""
    with pytest.raises(AssertionError) as caught, service:
        ask(service.url)
    return str(caught.value)


def plainly(method: str, path: str, token: str = TOKEN, **options: Any) -> Callable[[str], Any]:
    def ask(url: str) -> None:
        requests.request(method, url + path, headers={"Authorization": f"Bearer {token}"}, timeout=60, **options)

    return ask


@pytest.mark.usefixtures("api_specs")
@pytest.mark.parametrize(
    ("path", "token", "quota", "status"),
    [
        ("/v2/droplets", TOKEN, None, 200),
        ("/v2/droplets", "wrong", None, 401),
        ("/v2/droplets", "limited", None, 403),
        ("/v2/droplets/7", TOKEN, None, 404),
        ("/v2/droplets", TOKEN, 0, 429),
    ],
)
def test_a_wrong_request_is_heard_whatever_the_answer(path: str, token: str, quota: int | None, status: int) -> None:
    service = FakeDigitalOcean()
    service.tokens["limited"] = set()
    service.quota = quota
    answers: list[int] = []

    def ask(url: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        answers.append(requests.get(f"{url}{path}?colour=red", headers=headers, timeout=60).status_code)

    assert f"GET {path}: the parameter 'colour' is not known" in heard(service, ask)
    assert answers == [status]


@pytest.mark.usefixtures("api_specs")
def test_a_request_that_meets_a_fault_is_heard() -> None:
    service = FakeLinode()
    service.fault(json_response({"errors": [{"reason": "Internal Server Error"}]}, 500))
    service.fault(Foreign(200, b"<html>", {"Content-Type": "text/html"}))
    ask = plainly("POST", "/v4/linode/instances", LINODE_TOKEN, json={"region": "us-east"})
    said = heard(service, lambda url: (ask(url), ask(url)))
    assert said.count("'type' is a required property") == 2
    assert "text/html" not in said


@pytest.mark.usefixtures("api_specs")
@pytest.mark.parametrize("kind", [AuthenticationFailed, RateLimited, ProviderError, Rejected])
def test_a_wrong_error_answer_is_heard(kind: type[MistError]) -> None:
    """The form is that of another vendor; our provider makes the best of it, and only the document tells."""
    statuses = {AuthenticationFailed: 401, RateLimited: 429, ProviderError: 500, Rejected: 422}
    status = statuses[kind]

    def digitalocean(url: str) -> None:
        with deadline(60), pytest.raises(kind):
            DigitalOcean(token=TOKEN, endpoint=url).reboot_machine("7")

    service = FakeDigitalOcean()
    service.fault(json_response({"errors": [{"reason": "no"}]}, status), times=9)
    assert f"POST /v2/droplets/7/actions: the answer {status}: value: 'id' is a required" in heard(
        service, digitalocean
    )

    def linode(url: str) -> None:
        with deadline(60), pytest.raises(kind):
            Linode(api_key=LINODE_TOKEN, endpoint=url).reboot_machine("7")

    other = FakeLinode()
    other.fault(json_response({"id": "no", "message": "no"}, status), times=9)
    assert f"POST /v4/linode/instances/7/reboot: the answer {status}: value: Additional" in heard(other, linode)


@pytest.mark.usefixtures("api_specs")
def test_a_wrong_answer_to_a_limited_token_is_heard() -> None:
    class Talkative(FakeDigitalOcean):
        def _seen_by(self, request: Request, droplet: dict[str, Any]) -> dict[str, Any]:
            return droplet

    service = Talkative()
    service.add_droplet()
    service.tokens["reader"] = {"droplet:read"}

    def ask(url: str) -> None:
        assert len(list(DigitalOcean(token="reader", endpoint=url).list_machines())) == 1

    said = heard(service, ask)
    assert "droplets.0: 'image' is shown to a token without the scope image:read" in said


@pytest.mark.usefixtures("api_specs")
def test_what_is_done_for_a_token_that_may_not_have_it_done_is_heard() -> None:
    class Generous(FakeDigitalOcean):
        def _needs(self, request: Request, *scopes: str) -> Response | None:
            return None

    service = Generous()
    service.tokens["limited"] = {"droplet:create", "image:read"}
    whole: dict[str, Any] = {"image": "debian-12-x64", "size": "s-1vcpu-1gb", "tags": {"web": ""}}

    def ask(url: str) -> None:
        DigitalOcean(token="limited", endpoint=url).create_machine("web-1", **whole)

    said = heard(service, ask)
    assert "POST /v2/droplets: the answer 202 was given to a token without the scope tag:create" in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("api_specs")
def test_a_stand_in_that_breaks_is_heard() -> None:
    class Broken(FakeDigitalOcean):
        @route("GET", "/v2/regions")
        def list_regions(self, request: Request) -> Response:
            raise KeyError("regions")

    def ask(url: str) -> None:
        with pytest.raises(requests.ConnectionError):
            plainly("GET", "/v2/regions")(url)

    assert "GET /v2/regions: the stand-in failed: KeyError('regions')" in heard(Broken(), ask)


@pytest.mark.usefixtures("api_specs")
def test_what_a_test_departs_with_has_to_happen_and_lets_nothing_else_pass() -> None:
    service = FakeDigitalOcean()
    service.departs("the parameter 'colour' is not known")
    service.departs("the parameter 'smell' is not known")
    said = heard(service, plainly("GET", "/v2/droplets?colour=red&taste=sour"))
    assert "colour" not in said
    assert "the parameter 'taste' is not known" in said
    assert "nothing departed from the document with \"the parameter 'smell' is not known\"" in said


@pytest.mark.usefixtures("api_specs")
def test_a_stand_in_holds_itself_to_the_document_unless_told_otherwise() -> None:
    assert FakeDigitalOcean().spec is not None
    assert FakeLinode().spec is not None
    with FakeLinode(described=False) as service:
        plainly("GET", "/v4/regions?colour=red")(service.url)


def test_no_other_test_switches_the_document_off() -> None:
    here = Path(__file__)
    for path in here.parent.parent.rglob("*.py"):
        if path not in (here, here.parent.parent / "fakes" / "described.py"):
            assert not re.search(r"\.spec\s*=[^=]|described\s*=\s*False", path.read_text(encoding="utf-8")), path


# -- where Linode's document contradicts itself -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def as_published(api_specs: Path) -> OpenApi:
    return OpenApi(api_specs / LINODE)


@pytest.fixture(scope="module")
def plain(api_specs: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load((api_specs / LINODE).read_text(encoding="utf-8"), Loader=loader)


@pytest.mark.parametrize("correct", CORRECTIONS)
def test_a_correction_is_refused_where_there_is_nothing_to_correct(plain: Any, correct: Correction) -> None:
    corrected = copy.deepcopy(plain)
    correct(corrected)
    with pytest.raises(LookupError):
        correct(corrected)


def test_no_time_of_the_document_is_one(as_published: OpenApi, linodes: OpenApi, plain: Any) -> None:
    assert CORRECTIONS[0] is times_without_a_zone
    media = plain["paths"]["/{apiVersion}/profile/sshkeys"]["get"]["responses"]["200"]["content"]["application/json"]
    key = media["schema"]["properties"]["data"]["items"]["properties"]
    example = {"data": [{name: about["example"] for name, about in key.items()}], "page": 1, "pages": 1, "results": 1}
    asked, answer = request("GET", "/v4/profile/sshkeys"), json_response(example)
    assert "is not a 'date-time'" in as_published.problems(asked, answer)[0]
    assert linodes.problems(asked, answer) == []
    for wrong in ("2018-01-01T00:01:01Z", "2018-01-01", "soon", 7):
        example["data"][0]["created"] = wrong
        assert "data.0.created" in linodes.problems(asked, json_response(example))[0]


def test_no_body_of_a_new_linode_is_one(as_published: OpenApi, linodes: OpenApi) -> None:
    assert CORRECTIONS[1] is the_body_of_a_new_linode
    needed = {"type": "g6-nanode-1", "region": "us-east"}
    whole = needed | {"image": "linode/debian12", "root_pass": "correct horse", "label": "web-1"}

    def said(spec: OpenApi, body: dict[str, Any]) -> list[str]:
        return spec.request_problems(request("POST", "/v4/linode/instances", body))

    for body in (needed, whole):
        assert "Additional properties are not allowed" in said(as_published, body)[0]
        assert said(linodes, body) == []
    assert "'region' is a required property" in said(as_published, {"type": "g6-nanode-1"})[1]
    assert "'region' is a required property" in said(linodes, {"type": "g6-nanode-1"})[0]
    assert "root_pass: 'short' is too short" in said(linodes, whole | {"root_pass": "short"})[0]
    assert "label: 'no spaces' does not match" in said(linodes, whole | {"label": "no spaces"})[0]
    assert "the property 'colour' is not known" in said(linodes, whole | {"colour": "red"})[0]
    assert "'interfaces.colour' is not known" in said(linodes, whole | {"interfaces": [{"colour": 1}]})[0]


def test_no_page_of_vpcs_is_one(as_published: OpenApi, linodes: OpenApi, plain: Any) -> None:
    assert CORRECTIONS[2] is a_page_of_vpcs
    media = plain["paths"]["/{apiVersion}/vpcs"]["get"]["responses"]["200"]["content"]["application/json"]
    asked = request("GET", "/v4/vpcs")
    found = as_published.problems(asked, json_response(media["example"]))
    assert any("('data' was unexpected)" in problem for problem in found)
    assert linodes.problems(asked, json_response(media["example"])) == []
    for change, words in (
        ({"pages": "1"}, "pages: '1' is not of type 'integer'"),
        ({"data": [{"id": "x"}]}, "data.0.id: 'x' is not of type 'integer'"),
        ({"colour": "red"}, "('colour' was unexpected)"),
    ):
        assert words in linodes.problems(asked, json_response(media["example"] | change))[0]


def test_threads_that_ask_at_once_see_a_whole_document(api_specs: Path) -> None:
    fresh = OpenApi(api_specs / FakeDigitalOcean.DOCUMENT)
    asked = [request("GET", f"/v2/{what}", query={"page": "1"}) for what in ("droplets", "images", "sizes", "regions")]
    assert [found for found in in_parallel(fresh.request_problems, asked * 8, workers=16) if found] == []
