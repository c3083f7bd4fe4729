"""Providers that are good on good days, with one fault each that shows on bad ones."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import trustme
from fakes.suspects import TOKEN, Good

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
