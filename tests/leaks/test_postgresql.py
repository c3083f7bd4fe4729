"""A real PostgreSQL that refuses what is kept in it, and quotes that: no mark in an error, a log or a variable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from leaks import services
from leaks.commands import mist
from leaks.marks import accounts, mark
from leaks.shown import Logged, of_error, of_object
from peers.postgresql import QUOTED, Postgresql

from mistcore import BackendManager, MistError

BACKENDS = "{schema}.mistcore_backends"
TRIGGER = f"""
CREATE FUNCTION {{{{schema}}}}.tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {{}} RETURN NEW; END';
CREATE TRIGGER tell BEFORE INSERT OR UPDATE ON {BACKENDS.replace("{schema}", "{{schema}}")}
FOR EACH ROW EXECUTE FUNCTION {{{{schema}}}}.tell();
"""
#: What an administrator may have done to the tables.
DONE = {
    "a rule that nothing keeps": f"ALTER TABLE {BACKENDS} ADD CONSTRAINT odd CHECK (revision < 2) NOT VALID",
    "a trigger that tells": TRIGGER.format(
        "RAISE EXCEPTION ''it says %'', NEW.record USING DETAIL = NEW.record::text;"
    ),
    "a trigger that reckons": TRIGGER.format("NEW.revision = NEW.record::text::integer;"),
    "another type": f"ALTER TABLE {BACKENDS} ALTER COLUMN record TYPE varchar(10) USING 'x'",
    "damaged rows": f"UPDATE {BACKENDS} SET record = json_build_object('id', 7, 'credentials', record)",
    "a list": f"UPDATE {BACKENDS} SET record = json_build_array(record)",
    "no such table": f"ALTER TABLE {BACKENDS} RENAME TO gone",
    "nobody's": "REVOKE ALL ON SCHEMA {schema} FROM CURRENT_USER",
}


@pytest.fixture
def schema(postgresql: Postgresql) -> str:
    """A schema with a store in it, of backends with marks."""
    name = postgresql.new_schema()
    with BackendManager(postgresql.url(name)) as manager, manager.batch():
        for account in accounts(services.nobody()):
            if account.provider in ("linode", "gce"):
                manager.add_backend(account.provider, account.title, check=False, **account.fields)
    return name


def tried(url: str) -> Iterator[tuple[str, object]]:
    """Yield what reading and changing a store shows."""
    for use in (
        lambda manager: manager.backends(),
        lambda manager: manager.add_backend("linode", "new", check=False, api_key=mark("new")),
        lambda manager: manager.backend("linode-all").update(check=False, api_key=mark("new")),
        lambda manager: manager.vault.rewrite("sealed", passphrase=mark("passphrase")),
    ):
        with BackendManager(url) as manager:
            try:
                use(manager)
            except MistError as error:
                yield from of_error(error)
            yield from of_object(manager.store)
            yield "variables of the store", repr(vars(manager.store))


@pytest.mark.parametrize("done", DONE)
def test_a_server_that_quotes_what_it_refuses(
    done: str, schema: str, postgresql: Postgresql, logged: Logged, nothing_leaks: Any
) -> None:
    postgresql.execute(DONE[done].format(schema=schema))
    url = postgresql.url(schema)
    shown = list(tried(url))
    for words in (["backends"], ["add", "linode", "--api-key", mark("new"), "--no-check"], ["secrets"]):
        shown += mist("--debug", "--store", url, *words).shown()
    nothing_leaks([*shown, *logged.take()], postgresql.password, QUOTED)
    print({k for k, v in shown}, [v for k, v in shown if k.startswith("str of")])
