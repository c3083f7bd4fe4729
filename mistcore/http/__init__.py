"""What REST providers share: a session with deadlines, retries, paging and our errors.

The smallest provider needs one line, `get_json(url, token=…)`; the others make one `RestSession` and keep it. Nothing
here imports `requests` before the first request.
"""

from __future__ import annotations

from mistcore.http.addresses import segment
from mistcore.http.exchange import Answer
from mistcore.http.failures import Failure, error_for, parse_retry_after
from mistcore.http.session import RestSession, get_json

__all__ = ["Answer", "Failure", "RestSession", "error_for", "get_json", "parse_retry_after", "segment"]
