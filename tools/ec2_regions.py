"""Write providers/mistcore_providers/_ec2_regions.py from the partitions that the installed botocore knows.

`python tools/ec2_regions.py` writes the file; with `--check` it exits with 1 if the file is not what would be written.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import botocore.loaders

TARGET = Path(__file__).parents[1] / "providers" / "mistcore_providers" / "_ec2_regions.py"
#: Those that anybody can sign up for; the others are closed networks of the US government's.
PARTITIONS = ("aws", "aws-eusc", "aws-cn", "aws-us-gov")
#: The regions that had a name of their own here long ago, in the order of the listing: alias, id, place.
FIRST = (
    ("ec2_ap_northeast", "ap-northeast-1", "Tokyo"),
    ("ec2_ap_southeast", "ap-southeast-1", "Singapore"),
    ("ec2_ap_southeast_2", "ap-southeast-2", "Sydney"),
    ("ec2_eu_west", "eu-west-1", "Ireland"),
    ("ec2_sa_east", "sa-east-1", "Sao Paulo"),
    ("ec2_us_east", "us-east-1", "N. Virginia"),
    ("ec2_us_west", "us-west-1", "N. California"),
    ("ec2_us_west_oregon", "us-west-2", "Oregon"),
)

HEADER = '''"""The regions of EC2, made by tools/ec2_regions.py from what botocore knows. Do not edit."""

from __future__ import annotations

from mistcore import Region

#: Stands for every region that the account has enabled.
ALL = "all"

'''


def place(description: str) -> str:
    """Return what a person calls the place: "Europe (Frankfurt)" is Frankfurt, "Canada (Central)" stays."""
    match = re.fullmatch(r"(.+) \((.+)\)", description)
    return match[2] if match and match[2] != "Central" and not match[1].startswith("AWS") else description


def render() -> str:
    """Return the text of the module."""
    partitions = {each["id"]: each for each in botocore.loaders.Loader().load_data("partitions")["partitions"]}
    known = {
        region: (place(about["description"]), name)
        for name in PARTITIONS
        for region, about in partitions[name]["regions"].items()
        if not region.endswith("-global")
    }
    first = [region for _, region, _ in FIRST]
    lines = [f'    Region("{region}", "{where}", ("{alias}",)),' for alias, region, where in FIRST]
    lines += [f'    Region("{region}", "{known[region][0]}"),' for region in known if region not in first]
    lines.append('    Region(ALL, "every region that the account has enabled"),')
    text = HEADER + "REGIONS = (\n" + "\n".join(lines) + "\n)\n\n"
    text += "#: The region of each region's partition that answers for the whole of it.\nHOMES = {\n"
    for name in PARTITIONS:
        home = partitions[name]["outputs"]["implicitGlobalRegion"]
        text += f'    "{name}": "{home}",\n'
    text += "}\n\n#: The partition of every region outside the commercial one.\nPARTITION_OF = {\n"
    text += "".join(f'    "{region}": "{name}",\n' for region, (_, name) in known.items() if name != "aws")
    return text + "}\n"


def main() -> int:
    """Write the module, or check it."""
    text = render()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
