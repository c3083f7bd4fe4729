"""libvirt's Python binding, or none where it is not installed: for the tests that need no daemon."""

from __future__ import annotations

import pytest

try:
    import libvirt
except ImportError:
    libvirt = None
needs_binding = pytest.mark.skipif(libvirt is None, reason="libvirt's Python binding is not installed")
