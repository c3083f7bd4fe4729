"""Providers that are good on good days, with one fault each that shows on bad ones."""

from __future__ import annotations

import io
import json
import re
import urllib.request
import xml.sax
import xml.sax.handler
from typing import Any

import trustme
from fakes.suspects import TOKEN, Good

from mistcore import AuthenticationFailed, ProviderError
from mistcore.http import RestSession


class TrustsAnybody(Good):
    """Whoever shows a certificate gets the token."""

    def session(self, **options: Any) -> RestSession:
        return super().session(verify=False, **options)


class TrustsNobody(Good):
    """It has an authority of its own, which is not that of the service."""

    def session(self, **options: Any) -> RestSession:
        return super().session(ca_cert=trustme.CA().cert_pem.bytes().decode(), **options)


class CountsFromTheLastByte(Good):
    """A timeout for each byte, none for the whole."""

    def rows(self) -> Any:
        if self.token != TOKEN:
            return super().rows()
        request = urllib.request.Request(f"{self.endpoint}/machines", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


class TakesItAll(Good):
    """Whatever comes goes into memory."""

    def session(self, **options: Any) -> RestSession:
        return super().session(max_body=10**9, **options)


class FetchesEntities(Good):
    """It reads XML with all that is in it, and says what it read."""

    def rows(self) -> Any:
        body = self.session().request("GET", "machines", expect="").body
        if not body.startswith(b"<?xml"):
            return super().rows()
        found: list[str] = []
        reader, handler = xml.sax.make_parser(), xml.sax.handler.ContentHandler()
        reader.setFeature(xml.sax.handler.feature_external_ges, True)
        reader.setContentHandler(handler)
        handler.characters = found.append  # type: ignore[method-assign]
        reader.parse(io.BytesIO(body))
        raise ProviderError(f"unexpected: {''.join(found)[:200]}")


class GrowsEntities(Good):
    """It puts in for an entity what the document says."""

    def rows(self) -> Any:
        text = self.session().request("GET", "machines", expect="").body.decode()
        for name, value in re.findall(r'<!ENTITY (\w+) "(\w+)">', text):
            text = text.replace(f"&{name};", value)
        if text.startswith("<?xml"):
            raise ProviderError(f"unexpected: {text[:100]}")
        return super().rows()


class StopsAfterOnePage(Good):
    """What is on later pages is not there."""

    def rows(self) -> Any:
        return self.session().get("machines")


class TurnsEveryPage(Good):
    """As long as there is said to be more, it goes on."""

    def rows(self) -> Any:
        session, rows, after = self.session(), [], ""
        while True:
            answer = session.request("GET", "machines", params={"after": after})
            rows += answer.json()
            after = answer.headers.get("X-Next", "")
            if not after:
                return rows


class KeepsItToItself(Good):
    """What the service says goes unheard."""

    def session(self, **options: Any) -> RestSession:
        return super().session(error=lambda failure: ProviderError("it did not work"), **options)


class BlamesTheToken(Good):
    """Whatever is refused, it is the token's fault."""

    def session(self, **options: Any) -> RestSession:
        return super().session(error=lambda failure: AuthenticationFailed(failure.describe()), **options)


class AsksAgain(Good):
    """What may have been done is done again."""

    def ask_for_start(self, machine_id: str, **options: Any) -> None:
        super().ask_for_start(machine_id, safe=True)


class BelievesInSuccess(Good):
    """Any answer but a refusal means that it is done."""

    def ask_for_start(self, machine_id: str, **options: Any) -> None:
        self.session().request("POST", f"machines/{machine_id}/start", expect="")
