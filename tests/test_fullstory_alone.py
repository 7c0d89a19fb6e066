"""The API half works without Singer, as its docstring shows."""

from __future__ import annotations

import subprocess
import sys
from doctest import DocTestParser
from typing import TYPE_CHECKING

import pytest

from tap_fullstory_imports import fullstory
from tests.stand_in import Job, make_events

if TYPE_CHECKING:
    from tests.stand_in import StandIn


def test_docstring_reads_a_job(
    api: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_events(3)
    api.add(Job("abc123", rows=rows, page_size=2))
    assert fullstory.__doc__
    examples = DocTestParser().get_examples(fullstory.__doc__)
    code = "".join(example.source for example in examples)
    exec(code, {"api_key": api.api_key, "url": api.url})  # noqa: S102 - our own
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == f"{rows[0]['name']} {rows[1]['name']}"
    assert second == rows[2]["name"]
    assert last == "read 3"


@pytest.mark.slow
def test_api_half_imports_of_singer_only_the_paginator() -> None:
    """In a process of its own, where nothing else has imported the SDK."""
    code = (
        "import sys; import tap_fullstory_imports.fullstory;"
        "print(*(m for m in sys.modules if m.startswith('tap_fullstory_imports')))"
    )
    shown = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert all(
        name.startswith("tap_fullstory_imports.fullstory")
        for name in shown
        if name != "tap_fullstory_imports"
    )
