"""The store beside TinyDB and beside the floor, at 10 to 100,000 backends: python benchmarks/store.py [SIZE …]

The floor is what any store of this kind has to do for a change: encode everything (json.dumps, as compact as it gets),
write it and fsync it; and for opening: read it and json.loads. Each figure is the best of several runs. TinyDB neither
locks nor fsyncs nor replaces its file in one step, and does not look at what it reads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import tinydb

from mistcore.stores import JsonStore, Record

TASKS = ("open", "list", "search", "add one", "rename one", "open and rename one")


def rows(size: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{number:028d}",
            "title": f"Customer {number % 97} account {number}",
            "provider": "ec2",
            "region": "eu-west-1",
            "enabled": True,
            "created_at": "2030-01-31T12:00:00Z",
            "credentials": {"api_key": f"AKIA{number:016d}", "api_secret": f"{number:040d}"},
        }
        for number in range(size)
    ]


def best(work: Callable[[], Any], runs: int) -> float:
    """Return the best time in milliseconds. A run may begin with something that does not count: what `work` returns."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        measured = work()
        if callable(measured):
            started = time.perf_counter()
            measured()
        times.append(time.perf_counter() - started)
    return min(times) * 1000


def put(store: JsonStore, record: Record) -> None:
    with store.change() as changes:
        changes.put(record)


def mistcore(folder: Path, size: int, runs: int) -> dict[str, float]:
    path = folder / "backends.json"
    path.write_text(json.dumps({"version": 1, "backends": []}))
    store = JsonStore(path)
    with store.change() as changes:
        for row in rows(size):
            changes.put(Record(row["id"], row["title"], row["provider"], row["region"], credentials=row["credentials"]))
    middle = f"{size // 2:028d}"
    count = iter(range(10**9))

    def rename(store: JsonStore) -> None:
        put(store, attrs.evolve(store.read()[middle], title=f"renamed {next(count):05d}"))

    return {
        "open": best(lambda: JsonStore(path).read(), runs),
        "list": best(lambda: list(store), runs),
        "search": best(lambda: [each for each in store if "account 7" in each.title.lower()], runs),
        "add one": best(lambda: put(store, Record(f"new{next(count):05d}", "new", "ec2")), runs),
        "rename one": best(lambda: rename(store), runs),
        "open and rename one": best(lambda: rename(JsonStore(path)), runs),
    }


def tiny(folder: Path, size: int, runs: int) -> dict[str, float]:
    path = folder / "tiny.json"
    with tinydb.TinyDB(path) as database:
        database.insert_multiple(rows(size))
    query = tinydb.Query()
    middle = f"{size // 2:028d}"
    count = iter(range(10**9))

    def opened() -> list[Any]:
        with tinydb.TinyDB(path) as database:
            return database.all()

    def rename(database: tinydb.TinyDB) -> None:
        database.update({"title": f"renamed {next(count)}"}, query.id == middle)

    def open_and_rename() -> None:
        with tinydb.TinyDB(path) as database:
            rename(database)

    def search() -> list[Any]:
        database.clear_cache()  # the answer to the very same question is remembered; people ask others
        return database.search(query.title.test(lambda title: "account 7" in title.lower()))

    with tinydb.TinyDB(path) as database:
        return {
            "open": best(opened, runs),
            "list": best(database.all, runs),
            "search": best(search, runs),
            "add one": best(lambda: database.insert({**rows(1)[0], "id": f"new{next(count)}"}), runs),
            "rename one": best(lambda: rename(database), runs),
            "open and rename one": best(open_and_rename, runs),
        }


def floor(folder: Path, size: int, runs: int) -> dict[str, float]:
    path = folder / "floor.json"
    document = {"version": 1, "backends": rows(size)}

    def write() -> None:
        with path.open("wb") as file:
            file.write(json.dumps(document).encode())
            file.flush()
            os.fsync(file.fileno())

    writing = best(write, runs)
    reading = best(lambda: json.loads(path.read_bytes()), runs)
    return {"open": reading, "add one": writing, "rename one": writing, "open and rename one": reading + writing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", metavar="SIZE", type=int, nargs="*", default=[10, 1_000, 10_000, 100_000])
    parser.add_argument("--folder", help="where to write (default: the platform's folder for temporary files)")
    options = parser.parse_args()
    python, other = platform.python_version(), version("tinydb")
    print(f"Python {python}, TinyDB {other}, {platform.system()}, {os.cpu_count()} processors; best of several runs.\n")
    print("| backends | what | mistcore, ms | TinyDB, ms | floor, ms | mistcore / TinyDB | mistcore / floor |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for size in options.sizes:
        runs = 20 if size <= 1_000 else 7 if size <= 10_000 else 3
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            ours, theirs, least = (kind(Path(folder), size, runs) for kind in (mistcore, tiny, floor))
        for task in TASKS:
            lowest = least.get(task)
            cells = [
                f"{size:,}",
                task,
                f"{ours[task]:,.3f}",
                f"{theirs[task]:,.3f}",
                f"{lowest:,.3f}" if lowest else "",
            ]
            cells += [f"{ours[task] / theirs[task]:.3f}", f"{ours[task] / lowest:.2f}" if lowest else ""]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
