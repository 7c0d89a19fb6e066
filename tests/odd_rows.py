"""Events with odd values, which must arrive in every database as they are."""

from __future__ import annotations

from typing import Any

# The numbers are those that a double would change, or that few programs write so.
ODD_ROWS: list[dict[str, Any]] = [
    {"name": "only a name"},
    {"name": None, "timestamp": None, "user": None, "properties": {}},
    {"name": "no time", "timestamp": "yesterday"},
    {
        "name": "quote \" ' \\ tab \t line \n bell \x07 🧢 %s :x {y} \\N",
        "timestamp": "0001-01-01T00:00:00Z",
        "properties": {
            "text": 'a "b" \\ c \\u0000 \n\t\x1f 帽子 🧢',
            "whole": 123456789012345678901234567890,
            "numbers": [1e300, 5e-324, 0.1, 1.0, -2.5e-7],
            "user": {"select": [1, [2, {"table": None}]], "": True},
        },
    },
    {"name": "before 1900", "timestamp": "1899-12-31T23:59:59.5Z"},
    {"name": "late", "timestamp": "9999-12-31T23:59:59.999999Z"},
    {"name": "offset", "timestamp": "2026-03-29T02:30:00.123+02:00"},
]
# The schema declares other types for these. Only the check of a target would mind.
NESTED_ROWS: list[dict[str, Any]] = [
    {
        "name": "other types inside of objects",
        "user": {"id": [1], "uid": 7},
        "context": {"browser": "none", "device": {"screen_width": "wide"}},
    }
]
UNSTORABLE = {"name": "a\x00b", "properties": {"deep": [{"k\x00": "x\ud800y\x00"}]}}
STORED = {
    "name": "a\ufffdb",
    "properties": {"deep": [{"k\ufffd": "x\ufffdy\ufffd"}]},
}
