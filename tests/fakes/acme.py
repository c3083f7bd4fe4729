"""A provider that needs no network: what the tests of the core put behind a manager."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable

from mistcore import (
    Account,
    AuthenticationFailed,
    Image,
    Machine,
    PartialResult,
    Provider,
    Region,
    Size,
    credential,
    secret,
)

GOOD = "good-token-4711"


class Acme(Provider):
    """Machines in a dictionary. The token decides how it behaves."""

    title = "Acme Cloud"
    regions = (Region("fra", "Frankfurt", ("acme_fra",)), Region("sin", "Singapore"))
    rights = """
    To read, a token with the scope `read`: Console → API → New token. To act, add `write`; a token that may pay bills
    is never needed.

    ```json
    {"scopes": ["read"]}
    ```

    - It cannot be limited to some of the machines, so a team that shares an account shares all that is in the account.
    """
    limits = ("It has no networks.", "Its machines are never suspended.")

    token: str = secret("API token", help="Console, API, New token.", env="ACME_TOKEN")
    endpoint: str = credential("API address", default="https://api.acme.example", address=True)
    port: int = credential("Port", default=443)
    verify: bool = credential("Verify certificates", default=True)

    closed = 0
    waited = 0
    release = threading.Event()
    meeting = threading.Barrier(1)

    def check(self) -> Account:
        if self.token != GOOD:
            raise AuthenticationFailed(f"the token {self.token} is not known", remedy="Make a new one.")
        return Account("42", "me@acme.example")

    def list_machines(self) -> Iterable[Machine]:
        if self.token == "hangs":
            self.release.wait(300)  # longer than a test may last
        if self.token == "waits":
            type(self).waited += 1
            while not self.release.wait(0.05):
                _ = self.timeout
        if self.token == "meets":
            self.meeting.wait()
        if self.token == "bug-token":
            raise KeyError(f"no such key {self.token}")
        if self.token == "half":
            warnings.warn("the hall B cannot be reached", PartialResult, stacklevel=2)
        if self.token == "garbage":
            yield {"id": 1}  # type: ignore[misc]
        yield Machine("m-1001", "web-1", "running", ["1.2.3.4", "2001:db8::1"], ["10.0.0.1"], tags={"env": "prod"})
        yield Machine("m-1002", "db", "stopped")
        yield Machine("m-2001", "db", "paused")

    def start_machine(self, machine_id: str) -> None:
        if machine_id != "m-1002":
            raise self.machine_not_found(machine_id)

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None: ...

    def destroy_machine(self, machine_id: str) -> None: ...

    def create_machine(
        self,
        name: str,
        *,
        image: str,
        size: str = "small",
        cpus: int = 1,
        public: bool = False,
        tags: dict[str, str] | None = None,
    ) -> Machine:
        assert (type(cpus), type(public)) == (int, bool)
        return Machine("m-3001", name, "pending", image=image, size=size, tags=tags or {})

    def list_sizes(self) -> Iterable[Size]:
        return [Size("small", "Small", cpus=1, memory=512), Size("big", "Big", cpus=8, memory=16384)]

    def list_images(self, search: str = "") -> Iterable[Image]:
        return [Image("debian-12", "Debian 12"), Image("ubuntu-24.04", "Ubuntu 24.04")]

    def close(self) -> None:
        type(self).closed += 1
