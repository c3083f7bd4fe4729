"""An SSH server that lets everybody in and then answers badly, each user in another way, or refuses them.

It is a real one, of asyncssh: what it sends is signed and encrypted as it should be. Who logs in decides what happens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import String

#: What a machine says that has something to say, as `COLLECT` prints it; without its end.
FACTS = "mist-hostname=web-1\nmist-kernel=Linux\nmist-uid=1000\n"
END = "mist-end=1\n"
_NOISE = bytes(range(256)) * 128

Process = asyncssh.SSHServerProcess[bytes]


async def _pour(process: Process) -> None:
    for _ in range((200 << 20) // len(_NOISE)):
        if process.is_closing():
            return
        process.stdout.write(_NOISE)
        await process.stdout.drain()


async def _trickle(process: Process) -> None:
    while True:
        process.stdout.write(b"m")
        await asyncio.sleep(0.02)


async def _cut(process: Process) -> None:
    process.stdout.write(FACTS.encode())
    await process.stdout.drain()
    process.get_extra_info("connection").abort()


async def _hang(process: Process) -> None:
    await asyncio.sleep(3600)


async def _flood(process: Process) -> None:
    connection = process.get_extra_info("connection")
    for _ in range((200 << 20) // len(_NOISE)):
        connection.send_packet(MSG_IGNORE, String(_NOISE))
        transport = connection._transport
        while transport is not None and transport.get_write_buffer_size() > len(_NOISE):
            await asyncio.sleep(0.001)  # else all of it would wait here, where memory is measured
    process.stdout.write((FACTS + END).encode())
    process.exit(0)


async def _reset(process: Process) -> None:
    process.get_extra_info("connection").abort()


def _say(text: str | bytes, end: Callable[[Process], None]) -> Callable[[Process], Coroutine[Any, Any, None]]:
    async def say(process: Process) -> None:
        process.stdout.write(text.encode() if isinstance(text, str) else text)
        await process.stdout.drain()
        end(process)

    return say


def _exit(process: Process) -> None:
    process.exit(0)


def _repeat(before: str) -> Callable[[Process], Coroutine[Any, Any, None]]:
    async def repeat(process: Process) -> None:
        await _say(f"{before}{process.get_extra_info('shown')}\n", _exit)(process)

    return repeat


#: What becomes of the command, by user.
COMMANDS: dict[str, Callable[[Process], Coroutine[Any, Any, None]]] = {
    "pours": _pour,
    "trickles": _trickle,
    "hangs": _hang,
    "floods": _flood,
    "cut": _cut,
    "reset": _reset,
    "half": _say(FACTS, _exit),
    "garbage": _say(_NOISE, _exit),
    "page": _say("<html><body>Please log in</body></html>\n", _exit),
    "escapes": _say(f"\x1b]0;gotcha\x07\x1b[2J{FACTS.replace('web-1', chr(27) + '[31mweb')}{END}", _exit),
    "no status": _say(FACTS + END, lambda process: process.close()),
    "killed": _say(FACTS + END, lambda process: process.exit_with_signal("KILL")),
    "many": _say(FACTS + "mist-address=1: x inet 192.0.2.1/24\n" * 20_000 + END, _exit),
    "good": _say(FACTS + END, _exit),
    "repeats": _repeat("mist-asked=1\nmist-status=1\nsudo: "),
    "repeats half": _repeat(f"{FACTS}mist-model="),
}
#: Users who are refused with what they were shown to be let in, in the words of the refusal.
REPEATING = ("told", "asked again")


class _Door(asyncssh.SSHServer):
    """Takes whatever is offered, but for users who are named after how they are refused."""

    def __init__(self, seen: HostileSsh) -> None:
        self._seen = seen
        self._user = ""
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._seen.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._seen.connections.discard(self._connection)

    async def begin_auth(self, username: str) -> bool:
        self._user = username.replace("_", " ")
        self._seen.users.append(username)
        if self._user == "never asked":
            await asyncio.sleep(3600)
        if self._user == "dropped" and self._connection is not None:
            self._connection.abort()
        return True

    def public_key_auth_supported(self) -> bool:
        return self._user not in ("password", "dialogue", *REPEATING)

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._seen.credentials.append(key.get_fingerprint())
        return await self._verdict()

    def password_auth_supported(self) -> bool:
        return self._user not in ("key", "dialogue", "asked again")

    async def validate_password(self, username: str, password: str) -> bool:
        self._seen.credentials.append(password)
        if self._connection is not None:
            self._connection.set_extra_info(shown=password)
        if self._user == "told":
            self._refuse(password)
        return await self._verdict()

    def kbdint_auth_supported(self) -> bool:
        return self._user in ("dialogue", "endless dialogue", "asked again")

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "", "en-US", [("Password:", False)]

    def validate_kbdint_response(self, username: str, responses: Any) -> Any:
        self._seen.credentials += responses
        if self._user == "asked again":
            self._refuse(*responses)
        return False if self._user == "dialogue" else ("", "", "en-US", [("Password:", False)])

    def _refuse(self, shown: str) -> None:
        assert self._connection is not None
        self._connection.send_auth_banner(f"{shown}\n")
        self._connection.send_debug(f"it was {shown}", always_display=True)
        self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, f"{shown} is not the password")

    async def _verdict(self) -> bool:
        if self._user == "late verdict":
            await asyncio.sleep(3600)
        return self._user in COMMANDS


class HostileSsh:
    """The server, from `with` to the end of the block, in a thread with a loop of its own.

    Attributes:
        port: where it listens, on the loopback.
        pin: the fingerprint of its key.
        users: who began to log in.
        commands: the users whose command was begun.
        credentials: the passwords, and the fingerprints of the keys, that it was shown.
        connections: those that stand.
    """

    def __init__(self, compression: Sequence[str] = ("none",)) -> None:
        self.users: list[str] = []
        self.commands: list[str] = []
        self.credentials: list[str] = []
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._compression = compression
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.pin = self._key.get_fingerprint()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile-ssh", daemon=True)

    def known_host(self) -> str:
        """Its line in a file of known hosts."""
        return f"[127.0.0.1]:{self.port} {self._key.export_public_key().decode()}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)
        self.port = self._server.get_port()
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self._key],
            server_factory=lambda: _Door(self),
            process_factory=self._process,
            encoding=None,
            login_timeout=0,
            compression_algs=self._compression,
        )

    async def _process(self, process: Process) -> None:
        user = str(process.get_extra_info("username")).replace("_", " ")
        self.commands.append(user)
        await COMMANDS[user](process)

    async def _end(self) -> None:
        self._server.close()
        left = list(self.connections)
        for connection in left:
            connection.abort()  # else whoever is still there leaves a socket to the garbage collector
        await asyncio.gather(*(connection.wait_closed() for connection in left))
        for task in asyncio.all_tasks(self._loop) - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)
        await self._loop.shutdown_default_executor()
