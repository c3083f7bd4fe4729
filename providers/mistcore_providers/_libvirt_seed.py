"""The medium that cloud-init's NoCloud source reads (docs.cloud-init.io, "NoCloud"): an ISO labelled "cidata"."""

from __future__ import annotations

import io
import json

__all__ = ["seed_image"]


def seed_image(name: str, instance_id: str, key: str, user_data: str) -> bytes:
    """Return an ISO 9660 image with `meta-data` (the machine's name and key) and `user-data`."""
    import pycdlib

    meta: dict[str, object] = {"instance-id": instance_id, "local-hostname": name}
    if key:
        meta["public-keys"] = [line.strip() for line in key.splitlines() if line.strip()]
    files = {
        # JSON is YAML, and quotes what needs to be quoted.
        "meta-data": json.dumps(meta, indent=1) + "\n",
        "user-data": user_data or "#cloud-config\n{}\n",
    }
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for file, text in files.items():
        data = text.encode()
        short = file.replace("-", "").upper()
        image.add_fp(io.BytesIO(data), len(data), f"/{short}.;1", rr_name=file, joliet_path=f"/{file}")
    out = io.BytesIO()
    image.write_fp(out)
    image.close()
    return out.getvalue()
