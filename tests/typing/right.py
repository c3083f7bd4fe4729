"""A program that type checkers must accept."""

from collections.abc import Iterable

from mistcore import Account, BackendManager, Machine, Provider, Region, Registry, credential, secret


class Acme(Provider):
    """A provider as its author writes it."""

    title = "Acme"
    regions = (Region("fra", "Frankfurt"),)

    token: str = secret("API token")
    port: int = credential("Port", default=22)
    proxy: str | None = credential("Proxy", default=None)

    def check(self) -> Account:
        return Account(self.token)

    def list_machines(self) -> Iterable[Machine]:
        yield Machine("1", "web", "running", public_ips=["192.0.2.1"])

    def stop_machine(self, machine_id: str, *, force: bool = False) -> None: ...

    def create_machine(self, name: str, *, image: str, size: str = "") -> Machine:
        return Machine("2", name, image=image, size=size)


acme = Acme(token="t", region="fra")
text: str = acme.token
number: int = acme.port
acme.stop_machine("1", force=True)
acme.create_machine("web", image="debian")
names: list[str] = [machine.name for machine in acme.list_machines()]
kind: type[Provider] = Registry()["acme"]
client = BackendManager(registry=Registry([Acme]))
backend = client.add_backend("acme", token="t", region="fra")
machines: list[Machine] = backend.machines(search="web")
machines[0].stop(force=True)
for result in client.check(timeout=5):
    print(result.account.name if result.account else result.error)
for machine in client.machines(search="web"):
    print(machine.name)
