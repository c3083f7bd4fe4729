"""Writes every service's configuration below OSP_DIR/live/etc. Runs on Python 3.6 too, for Keystone 12."""

import os
from pathlib import Path

ROOT, BASE = os.environ["OSP_DIR"], int(os.environ["OSP_PORT"])
MAX_LIMIT = os.environ.get("OSP_MAX_LIMIT", "1000")
VENV, LIVE = ROOT + "/venv", ROOT + "/live"
PORTS = {name: BASE + index for index, name in enumerate(("keystone", "glance", "placement", "neutron", "nova"))}
HOST = "fakehost"


def url(name, tail=""):
    return f"http://127.0.0.1:{PORTS[name]}{tail}"


def db(name):
    return f"sqlite:///{LIVE}/db/{name}.sqlite"


AUTH = f"""
auth_type = password
auth_url = {url("keystone", "/v3")}
username = svc
password = svc-secret
user_domain_id = default
project_domain_id = default
project_name = service
region_name = RegionOne
"""
TOKEN = f"""
[keystone_authtoken]
www_authenticate_uri = {url("keystone", "/v3")}
service_token_roles_required = true
service_token_roles = service
interface = public
{AUTH}"""
HEAD = "[DEFAULT]\nuse_stderr = true\ntransport_url = fake://\n"
FILES = {
    "keystone/keystone.conf": HEAD
    + f"""
[database]
connection = {db("keystone")}
[token]
provider = fernet
[fernet_tokens]
key_repository = {LIVE}/fernet
[fernet_receipts]
key_repository = {LIVE}/fernet
[credential]
key_repository = {LIVE}/credential
[identity]
password_hash_rounds = 4
[paste_deploy]
config_file = {LIVE}/etc/keystone/keystone12-paste.ini
""",
    "keystone/keystone12-paste.ini": """# read by Keystone 12 only
[filter:json_body]
use = egg:keystone#json_body
[filter:build_auth_context]
use = egg:keystone#build_auth_context
[filter:token_auth]
use = egg:keystone#token_auth
[filter:url_normalize]
use = egg:keystone#url_normalize
[app:v2]
use = egg:keystone#public_service
[app:v3]
use = egg:keystone#service_v3
[app:versions]
use = egg:keystone#public_version_service
[pipeline:public]
pipeline = url_normalize build_auth_context token_auth json_body v2
[pipeline:api_v3]
pipeline = url_normalize build_auth_context token_auth json_body v3
[pipeline:root]
pipeline = url_normalize versions
[composite:main]
use = egg:Paste#urlmap
/v2.0 = public
/v3 = api_v3
/ = root
""",
    "glance/glance-api.conf": HEAD
    + f"""
enabled_backends = local:file
enabled_import_methods = []
worker_self_reference_url = {url("glance")}
[database]
connection = {db("glance")}
[glance_store]
default_backend = local
[local]
filesystem_store_datadir = {LIVE}/images
[os_glance_staging_store]
filesystem_store_datadir = {LIVE}/images-staging
[os_glance_tasks_store]
filesystem_store_datadir = {LIVE}/images-tasks
[paste_deploy]
flavor = keystone
config_file = {VENV}/etc/glance/glance-api-paste.ini
{TOKEN}""",
    "placement/placement.conf": f"""[DEFAULT]
use_stderr = true
[placement_database]
connection = {db("placement")}
[api]
auth_strategy = keystone
{TOKEN}""",
    "neutron/neutron.conf": HEAD
    + f"""
core_plugin = ml2
service_plugins = router
auth_strategy = keystone
api_paste_config = {VENV}/etc/neutron/api-paste.ini
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = true
send_events_interval = 1
state_path = {LIVE}/neutron
[database]
connection = {db("neutron")}
[oslo_concurrency]
lock_path = {LIVE}/lock
[ml2]
type_drivers = local,flat
tenant_network_types = local
mechanism_drivers = openvswitch
extension_drivers = port_security
[ml2_type_flat]
flat_networks = *
[nova]
{AUTH}
{TOKEN}""",
    "nova/nova.conf": HEAD
    + f"""
compute_driver = fake.FakeDriver
host = {HOST}
my_ip = 127.0.0.1
state_path = {LIVE}/nova
instances_path = {LIVE}/nova/instances
vif_plugging_is_fatal = false
vif_plugging_timeout = 0
allow_resize_to_same_host = true
[api]
auth_strategy = keystone
max_limit = {MAX_LIMIT}
[api_database]
connection = {db("nova_api")}
[database]
connection = {db("nova_cell1")}
[oslo_concurrency]
lock_path = {LIVE}/lock
[glance]
region_name = RegionOne
[placement]
{AUTH}
[neutron]
{AUTH}
[service_user]
send_service_user_token = true
{AUTH}
{TOKEN}""",
}


def main():
    etc = Path(LIVE, "etc")
    for name, text in FILES.items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    for folder in ("db", "lock", "images", "images-staging", "images-tasks", "neutron", "nova/instances"):
        Path(LIVE, folder).mkdir(parents=True, exist_ok=True)
    (etc / "nova/api-paste.ini").write_text(Path(VENV, "etc/nova/api-paste.ini").read_text())


if __name__ == "__main__":
    main()
