"""serve.py NAME PORT: one OpenStack API over HTTP on 127.0.0.1; for nova also conductor, scheduler and compute."""

import importlib
import os
import sys
import traceback

NAME, PORT = sys.argv[1], int(sys.argv[2])
ETC = os.environ["OSP_DIR"] + "/live/etc/"
APPS = {
    "keystone": "keystone.wsgi.api",
    "glance": "glance.wsgi.api",
    "placement": "placement.wsgi.api",
    "neutron": "neutron.wsgi.api",
    "nova": "nova.wsgi.osapi_compute",
}


def tune_sqlite():
    """Let several threads write.

    A transaction takes SQLite's write lock when it begins, so it waits, and cannot fail half way with "database is
    locked", as oslo.db's plain BEGIN does as soon as two clients boot servers at once.
    """
    from sqlalchemy import engine, event

    @event.listens_for(engine.Engine, "connect")
    def connect(dbapi, record):
        cursor = dbapi.cursor()
        for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "synchronous = OFF"):
            cursor.execute("PRAGMA " + pragma)
        cursor.close()

    @event.listens_for(engine.Engine, "begin")
    def begin(conn):
        if "in_transaction" not in conn.info:  # oslo.db's own marker: it then sends no BEGIN of its own
            getattr(conn, "exec_driver_sql", conn.execute)("BEGIN IMMEDIATE")  # the latter for SQLAlchemy 1.1
            conn.info["in_transaction"] = True


def main():
    os.environ[f"OS_{NAME.upper()}_CONFIG_DIR"] = ETC + NAME
    sys.argv[1:] = []
    if NAME in ("neutron", "nova"):
        sys.argv[1:] = ["--config-file", f"{ETC}{NAME}/{NAME}.conf"]
    if NAME == "neutron":
        os.environ["OS_NEUTRON_CONFIG_FILES"] = "neutron.conf"
    if NAME == "nova":
        from nova import monkey_patch

        monkey_patch.patch(backend="threading")
    tune_sqlite()
    if NAME == "keystone" and sys.version_info < (3, 8):
        from keystone.server import wsgi  # Keystone 12

        app = wsgi.initialize_application("main", config_files=[ETC + "keystone/keystone.conf"])
    else:
        app = importlib.import_module(APPS[NAME]).application
    if NAME == "nova":
        nova_services()
    import waitress

    # When two requests collide, Placement reads in a second transaction while its first holds SQLite's write lock, and
    # waits for itself. One request at a time, none collides.
    threads = 1 if NAME == "placement" else 8
    waitress.serve(app, host="127.0.0.1", port=PORT, threads=threads, ident=NAME)


def nova_services():
    import os_vif
    from nova import context, service
    from nova.compute import rpcapi as compute
    from nova.conductor import rpcapi as conductor
    from nova.objects import host_mapping
    from nova.scheduler import rpcapi as scheduler

    os_vif.initialize()
    for binary, topics in (
        ("nova-conductor", {"topic": conductor.RPC_TOPIC}),
        ("nova-scheduler", {"topic": scheduler.RPC_TOPIC}),
        ("nova-compute", {"topic": compute.RPC_TOPIC, "topic_alt": compute.RPC_TOPIC_ALT}),
    ):
        service.Service.create(binary=binary, **topics).start()
    if not host_mapping.discover_hosts(context.get_admin_context()):
        raise RuntimeError("nova-compute registered no host")


try:
    main()
except BaseException:  # the services' threads would keep a half-started process alive
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
