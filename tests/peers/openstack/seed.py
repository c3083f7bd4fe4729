"""Fills what no *-manage command fills: seed.py neutron-schema | keystone12-schema | identity | cloud.

Runs on Python 3.6 too, for Keystone 12.
"""

import importlib
import json
import sqlite3
import sys
import time
import uuid

import conf

ADMIN = ("admin", "admin-secret", "admin")
DEMO = ("demo", "demo-secret", "demo")
READER = ("reader", "reader-secret", "demo")
KEYSTONE12_MODELS = [
    "assignment.backends",
    "assignment.role_backends",
    "catalog.backends",
    "credential.backends",
    "endpoint_policy.backends",
    "federation.backends",
    "identity.backends",
    "identity.mapping_backends",
    "identity.shadow_backends",
    "oauth1.backends",
    "policy.backends",
    "resource.backends",
    "resource.config_backends",
    "revoke.backends",
    "token.persistence.backends",
    "trust.backends",
]
FLAVORS = (
    ("1", "m1.tiny", 512, 1, 1),
    ("2", "m1.small", 2048, 1, 20),
    ("3", "m1.medium", 4096, 2, 40),
    ("99", "m1.toobig", 512, 1, 9000000),  # within every quota, but no host holds it
)


def neutron_schema():
    """Make the tables from the models: the migrations use ALTER in ways that SQLite lacks."""
    import sqlalchemy
    from neutron.db.migration.models import head

    head.get_metadata().create_all(sqlalchemy.create_engine(conf.db("neutron")))
    # An Open vSwitch agent that never goes stale, so that the real mechanism driver binds ports on our host.
    old, far = "2026-01-01 00:00:00.000000", "2199-01-01 00:00:00.000000"
    configuration = {"bridge_mappings": {"public": "br-ex"}, "tunnel_types": [], "datapath_type": "system"}
    row = {
        "agent_type": "Open vSwitch agent",
        "binary": "neutron-openvswitch-agent",
        "topic": "N/A",
        "host": conf.HOST,
        "admin_state_up": 1,
        "created_at": old,
        "started_at": old,
        "heartbeat_timestamp": far,
        "load": 0,
        "configurations": json.dumps(configuration),
        "id": str(uuid.uuid4()),
    }
    with sqlite3.connect(conf.db("neutron")[len("sqlite:///") :]) as database:
        marks = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO agents ({', '.join(row)}) VALUES ({marks})", list(row.values()))


def keystone12_schema():
    """Make the tables from the models: the migrations of that time trip over SQLite 3.26 and newer."""
    import keystone.common.sql
    import sqlalchemy

    for module in KEYSTONE12_MODELS:
        importlib.import_module(f"keystone.{module}.sql")
    keystone.common.sql.ModelBase.metadata.create_all(sqlalchemy.create_engine(conf.db("keystone")))


def adapter(who, service_type, **options):
    from keystoneauth1 import adapter, session
    from keystoneauth1.identity import v3

    user, password, project = who
    domains = {"user_domain_id": "default", "project_domain_id": "default"}
    login = v3.Password(conf.url("keystone", "/v3"), username=user, password=password, project_name=project, **domains)
    return adapter.Adapter(
        session.Session(auth=login),
        service_type=service_type,
        interface="public",
        region_name="RegionOne",
        connect_retries=2,
        **options,
    )


def identity():
    keystone = adapter(ADMIN, "identity", version="3")

    def ensure(path, kind, **body):
        found = keystone.get(f"/{path}?name={body['name']}").json()[path]
        return (found or [keystone.post(f"/{path}", json={kind: body}).json()[kind]])[0]["id"]

    roles = {name: ensure("roles", "role", name=name) for name in ("admin", "member", "reader", "service")}
    granted_to = (
        (("svc", "svc-secret", "service"), ("admin", "service")),
        (DEMO, ("member", "reader")),
        (READER, ("reader",)),
    )
    for (name, password, project_name), granted in granted_to:
        project = ensure("projects", "project", name=project_name, domain_id="default")
        user = ensure("users", "user", name=name, password=password, domain_id="default")
        for role in granted:
            keystone.put(f"/projects/{project}/users/{user}/roles/{roles[role]}")
    for kind, name, tail in (
        ("compute", "nova", "/v2.1"),
        ("image", "glance", ""),
        ("placement", "placement", ""),
        ("network", "neutron", ""),
    ):
        service = ensure("services", "service", name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            where = {"interface": interface, "url": conf.url(name, tail), "region_id": "RegionOne"}
            keystone.post("/endpoints", json={"endpoint": {"service_id": service, **where}})


def cloud():
    nova, glance, neutron = adapter(ADMIN, "compute"), adapter(ADMIN, "image"), adapter(ADMIN, "network")
    for ident, name, ram, cpus, disk in FLAVORS:
        nova.post("/flavors", json={"flavor": {"id": ident, "name": name, "ram": ram, "vcpus": cpus, "disk": disk}})
    for name, distro in (("debian-12", "debian"), ("ubuntu-24.04", "ubuntu")):
        properties = {"visibility": "public", "disk_format": "raw", "container_format": "bare", "os_distro": distro}
        image = glance.post("/v2/images", json={"name": name, **properties}).json()["id"]
        octets = {"Content-Type": "application/octet-stream"}
        glance.put(f"/v2/images/{image}/file", data=b"\0" * 65536, headers=octets)

    def network(name, cidr, **more):
        made = neutron.post("/v2.0/networks", json={"network": {"name": name, **more}}).json()["network"]["id"]
        subnet = {"network_id": made, "name": name, "ip_version": 4, "cidr": cidr, "enable_dhcp": False}
        return made, neutron.post("/v2.0/subnets", json={"subnet": subnet}).json()["subnet"]["id"]

    provider = {"provider:network_type": "flat", "provider:physical_network": "public"}
    public, _ = network("public", "203.0.113.0/24", **{"router:external": True}, **provider)
    _, subnet = network("private", "10.11.0.0/16", shared=True)
    router = {"name": "edge", "external_gateway_info": {"network_id": public}}
    made = neutron.post("/v2.0/routers", json={"router": router}).json()["router"]["id"]
    neutron.put(f"/v2.0/routers/{made}/add_router_interface", json={"subnet_id": subnet})
    end = time.time() + 240  # nova-compute must be seen as up, with its inventory in placement
    wanted = {"nova-conductor", "nova-scheduler", "nova-compute"}
    while True:
        up = {service["binary"] for service in nova.get("/os-services").json()["services"] if service["state"] == "up"}
        if wanted <= up and adapter(ADMIN, "placement").get("/resource_providers").json()["resource_providers"]:
            return
        if time.time() > end:
            sys.exit(f"nova services up after 240 s: {up}")
        time.sleep(0.3)


PARTS = {
    "neutron-schema": neutron_schema,
    "keystone12-schema": keystone12_schema,
    "identity": identity,
    "cloud": cloud,
}
PARTS[sys.argv[1]]()
