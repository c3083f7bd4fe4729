"""Servers that send back whatever they are sent, for what is not HTTP."""

from __future__ import annotations

from mistcore.testing.wire import Line

__all__ = ["repeating"]


def repeating(line: Line) -> None:
    """Send back whatever comes."""
    sent = 0
    while len(line.read()) > sent:
        part = bytes(line.received[sent:])
        sent += len(part)
        line.send(part)
