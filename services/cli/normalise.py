"""Raw numbers in, one JSON line each out."""

import json
from typing import BinaryIO

from services.common.errors import InvalidArgument
from services.common.numbering import parse


def normalise_stream(source: BinaryIO, out: BinaryIO, region: str) -> int:
    """Write {"raw","key","kind","number","country","carrier","region","error"} a line.

    `carrier` and `region` (province and city) are empty: the facts of a number are not known yet.
    Returns how many lines were numbers.
    """
    found = 0
    for line in source:
        raw = line.rstrip(b"\r\n").decode("utf-8", errors="replace")
        answer = dict.fromkeys(
            ("raw", "key", "kind", "number", "country", "carrier", "region", "error"), ""
        )
        answer["raw"] = raw
        try:
            number = parse(raw, region)
        except InvalidArgument as error:
            answer["error"] = error.metadata["cause"]
        else:
            found += 1
            answer |= {
                "key": number.canonical,
                "kind": number.kind.name,
                "number": number.number,
                "country": number.country,
            }
        out.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    return found
