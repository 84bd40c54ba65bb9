"""The Chinese numbering plan: which digits mean what.

Sources: 电信网编号计划 2017 (MIIT 信管〔2017〕68号); MIIT's table of public mobile network
codes, end of March 2023. Version 2023.03.
"""

import re

VERSION = "2023.03"

MOBILE_CODES = frozenset(
    {str(code) for code in range(130, 140)}
    | {"145", "146", "147", "148", "149"}
    | {str(code) for code in range(150, 160) if code != 154}
    | {"162", "165", "166", "167"}
    | {"170", "171", "172", "173", "175", "176", "177", "178"}
    | {str(code) for code in range(180, 190)}
    | {"190", "191", "192", "193", "195", "196", "197", "198", "199"}
)
"""First three digits of ordinary mobile numbers."""

SATELLITE_CODES = ("1619", "1740", "1741", "1749", "1349")
"""First four digits of satellite numbers; 1741 only up to 17412."""

MVNO_CODES = frozenset({"162", "165", "167", "170", "171"})
"""Codes reserved for resellers."""

FIXED = re.compile(r"(10|2[0-57-9]|[3-9]\d{2})([2-8]\d{6,7})")
"""Area code without trunk 0, then the local number."""

SHORT = re.compile(r"95\d{3,6}|96\d{3,4}|100\d{2,5}|101\d{2,3}|12\d{3}|118\d{2}|116\d{3}|11\d|12\d")
"""Short service numbers: 95 and 96, operators' 10x, 11x and 12x."""

SMS = re.compile(r"106[2-9]\d{4,16}")
IOT = re.compile(r"(144\d|1064)\d{9}")
RELAY = re.compile(r"700\d{12}")
SERVICE_400_800 = re.compile(r"[48]00\d{7}")

DIAL_PREFIX = re.compile(r"(1252\d|12593|179\d{2})(?=\d{7})")
"""Prefixes dialled before a whole number: 1252x, 12593, IP calls 179xx."""

NANP = re.compile(r"[2-9]\d{2}[2-9]\d{6}")
"""National number of the North American plan, as far as its shape tells."""
