"""Providers that are good on good days, with one fault each that shows on bad ones."""

from __future__ import annotations

from typing import Any

import trustme
from fakes.suspects import Good

from mistcore.http import RestSession


class TrustsAnybody(Good):
    """Whoever shows a certificate gets the token."""

    def session(self, **options: Any) -> RestSession:
        return super().session(verify=False, **options)


class TrustsNobody(Good):
    """It has an authority of its own, which is not that of the service."""

    def session(self, **options: Any) -> RestSession:
        return super().session(ca_cert=trustme.CA().cert_pem.bytes().decode(), **options)
