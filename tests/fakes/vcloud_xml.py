"""How the stand-in of vCloud Director writes one and the same answer as XML or as JSON."""

from __future__ import annotations

import json
import threading
from typing import Any
from xml.etree import ElementTree as ET

NS = "http://www.vmware.com/vcloud/v1.5"
VERSIONS_NS = "http://www.vmware.com/vcloud/versions"
OVF = "http://schemas.dmtf.org/ovf/envelope/1"
#: ElementTree has one table of prefixes for the whole process, and the stand-in answers in several threads.
_prefixes = threading.Lock()
_LISTS = {"link", "record", "vm", "task", "networkConnection", "section", "versionInfo", "file"}
_NUMBERS = {
    "page", "pageSize", "total", "numberOfCpus", "memoryMB", "status", "majorErrorCode", "numberOfVMs", "numCpus",
    "configured", "networkConnectionIndex",
}  # fmt: skip
_FLAGS = {"isVAppTemplate", "isDeployed", "deployed", "isBusy", "isConnected", "deprecated", "isEnabled", "autoNature"}


def element(tag: str, /, *children: Any, ns: str = NS, **attributes: Any) -> ET.Element:
    """Make an element; texts among the children are its text, None is left out."""
    made = ET.Element(f"{{{ns}}}{tag}", {name: str(value) for name, value in attributes.items() if value is not None})
    for child in children:
        if isinstance(child, ET.Element):
            made.append(child)
        elif child is not None:
            made.text = str(child)
    return made


def to_xml(root: ET.Element) -> bytes:
    space = root.tag[1:].partition("}")[0]
    with _prefixes:
        ET.register_namespace("ovf", OVF)
        ET.register_namespace("", space)
        data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def to_json(root: ET.Element) -> bytes:
    return json.dumps(plain(root)).encode()


def plain(item: ET.Element) -> Any:
    """Return what JAXB makes of it: lists where the schema allows several, sections in one list, nulls left in."""
    tag = item.tag.rpartition("}")[2]
    if not item.attrib and not len(item) and tag != "QueryResultRecords":
        return _value(_low(tag), item.text or "")
    found: dict[str, Any] = {"otherAttributes": {}}
    if tag.endswith("Record"):
        found |= {"_type": f"QueryResult{tag}Type", "id": None, "type": None}
    for name, value in item.attrib.items():
        found[name] = _value(name, value)
    for child in item:
        local = child.tag.rpartition("}")[2]
        name = _low(local)
        value = plain(child)
        if local.endswith("Section"):
            found.setdefault("section", []).append({"_type": f"{local}Type", **value})
        elif local.endswith("Record") or name in _LISTS:
            found.setdefault("record" if local.endswith("Record") else name, []).append(value)
        else:
            found[name] = value
    if tag == "QueryResultRecords":
        found.setdefault("record", [])
    return found


def _low(tag: str) -> str:
    return tag[:1].lower() + tag[1:]


def _value(name: str, value: str) -> Any:
    if name in _NUMBERS and value.lstrip("-").isdigit():
        return int(value)
    if name in _FLAGS:
        return value == "true"
    return value
