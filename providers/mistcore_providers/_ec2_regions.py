"""The regions of EC2, made by tools/ec2_regions.py from what botocore knows. Do not edit."""

from __future__ import annotations

from mistcore import Region

#: Stands for every region that the account has enabled.
ALL = "all"

REGIONS = (
    Region("ap-northeast-1", "Tokyo", ("ec2_ap_northeast",)),
    Region("ap-southeast-1", "Singapore", ("ec2_ap_southeast",)),
    Region("ap-southeast-2", "Sydney", ("ec2_ap_southeast_2",)),
    Region("eu-west-1", "Ireland", ("ec2_eu_west",)),
    Region("sa-east-1", "Sao Paulo", ("ec2_sa_east",)),
    Region("us-east-1", "N. Virginia", ("ec2_us_east",)),
    Region("us-west-1", "N. California", ("ec2_us_west",)),
    Region("us-west-2", "Oregon", ("ec2_us_west_oregon",)),
    Region("af-south-1", "Cape Town"),
    Region("ap-east-1", "Hong Kong"),
    Region("ap-east-2", "Taipei"),
    Region("ap-northeast-2", "Seoul"),
    Region("ap-northeast-3", "Osaka"),
    Region("ap-south-1", "Mumbai"),
    Region("ap-south-2", "Hyderabad"),
    Region("ap-southeast-3", "Jakarta"),
    Region("ap-southeast-4", "Melbourne"),
    Region("ap-southeast-5", "Malaysia"),
    Region("ap-southeast-6", "New Zealand"),
    Region("ap-southeast-7", "Thailand"),
    Region("ca-central-1", "Canada (Central)"),
    Region("ca-west-1", "Calgary"),
    Region("eu-central-1", "Frankfurt"),
    Region("eu-central-2", "Zurich"),
    Region("eu-north-1", "Stockholm"),
    Region("eu-south-1", "Milan"),
    Region("eu-south-2", "Spain"),
    Region("eu-west-2", "London"),
    Region("eu-west-3", "Paris"),
    Region("il-central-1", "Tel Aviv"),
    Region("me-central-1", "UAE"),
    Region("me-south-1", "Bahrain"),
    Region("me-west-1", "Saudi Arabia"),
    Region("mx-central-1", "Mexico (Central)"),
    Region("sa-west-1", "Chile"),
    Region("us-east-2", "Ohio"),
    Region("eusc-de-east-1", "AWS European Sovereign Cloud (Germany)"),
    Region("cn-north-1", "Beijing"),
    Region("cn-northwest-1", "Ningxia"),
    Region("us-gov-east-1", "AWS GovCloud (US-East)"),
    Region("us-gov-west-1", "AWS GovCloud (US-West)"),
    Region(ALL, "every region that the account has enabled"),
)

#: The region of each region's partition that answers for the whole of it.
HOMES = {
    "aws": "us-east-1",
    "aws-eusc": "eusc-de-east-1",
    "aws-cn": "cn-northwest-1",
    "aws-us-gov": "us-gov-west-1",
}

#: The partition of every region outside the commercial one.
PARTITION_OF = {
    "eusc-de-east-1": "aws-eusc",
    "cn-north-1": "aws-cn",
    "cn-northwest-1": "aws-cn",
    "us-gov-east-1": "aws-us-gov",
    "us-gov-west-1": "aws-us-gov",
}
