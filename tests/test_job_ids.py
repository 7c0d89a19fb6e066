"""Job IDs and page tokens are opaque: they reach the server exactly as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports import job_ids
from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

PATHS = {
    "abd123=": "abd123%3D",
    "a/b": "a%2Fb",
    "/a": "%2Fa",
    "a/": "a%2F",
    "//": "%2F%2F",
    "a?b#c": "a%3Fb%23c",
    "?": "%3F",
    "#": "%23",
    "ü 1": "%C3%BC%201",
    "%41": "%2541",
    "%2F": "%252F",
    "%": "%25",
    "%zz": "%25zz",
    "a..b": "a..b",
    "...": "...",
    "a/../b": "a%2F..%2Fb",
    "../b": "..%2Fb",
    "a/..": "a%2F..",
    "./a": ".%2Fa",
    "%2e%2e": "%252e%252e",
    "..%2f..": "..%252f..",
    ".a": ".a",
    "a.": "a.",
    "+": "%2B",
    "a+b c": "a%2Bb%20c",
    "a&b": "a%26b",
    "a=b&c=d": "a%3Db%26c%3Dd",
    "a;b": "a%3Bb",
    "a:b": "a%3Ab",
    "a@b": "a%40b",
    "a\\b": "a%5Cb",
    "a'b\"c": "a%27b%22c",
    "<a>": "%3Ca%3E",
    "{a}[b]|^`": "%7Ba%7D%5Bb%5D%7C%5E%60",
    "$(a)!*": "%24%28a%29%21%2A",
    "-_.~": "-_.~",
    "imports": "imports",
    "status": "status",
    "a/imports": "a%2Fimports",
    "🧢": "%F0%9F%A7%A2",
    "日本": "%E6%97%A5%E6%9C%AC",
    "e\u0301": "e%CC%81",
    "\u00e9": "%C3%A9",
    "a\u2028b": "a%E2%80%A8b",
    "null": "null",
    "0": "0",
    "007": "007",
    "{job_id}": "%7Bjob_id%7D",
    "%s %d {0}": "%25s%20%25d%20%7B0%7D",
    "x" * 1_000: "x" * 1_000,
    "ü" * 1_000: "%C3%BC" * 1_000,
}
TOKENS = [
    "asd543=",
    "a+b/c==",
    "a&page_token=b",
    "a&include_schema=false",
    "a b",
    " a ",
    " ",
    "%41",
    "%",
    "a?b#c",
    "../../x",
    "ü🧢",
    "a;b,c:d",
    "\"quoted\" 'text' \\",
    "line\r\nbreak\ttab",
    "nul\x00",
    "0",
    "null",
    "x" * 5_000,
]


def test_job_ids_reach_the_server_exactly(tap: Folder, api: StandIn) -> None:
    """For the rows and the status. They leave in records and STATE as they were."""
    api.add(*(Job(job_id, rows=make_events(2), total=3) for job_id in PATHS))
    run = tap.run(job_ids=[*PATHS])
    assert run.status == 0
    assert [(request.raw_path, request.job_id) for request in api.requests] == [
        (f"/v2/events/batch/{path}{end}", job_id)
        for job_id, path in PATHS.items()
        for end in ("/imports", "")
    ]
    assert [record["job_id"] for record in run.records()] == [
        job_id for job_id in PATHS for _ in range(2)
    ]
    assert run.completed() == dict.fromkeys(PATHS, 2)
    api.clear()
    assert tap.run(job_ids=[*PATHS], state=run.state).records() == []
    assert not api.requests


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf"]), min_size=1)
    .map(str.strip)
    .filter(lambda text: text not in {"", ".", ".."})
)
def test_any_job_id_reaches_the_server_exactly(
    tap: Folder, api: StandIn, job_id: str
) -> None:
    """Whatever Fullstory may come to use for one."""
    api.clear()
    api.add(Job(job_id, rows=make_events(1)))
    run = tap.run(job_ids=[job_id])
    assert run.status == 0
    [request] = api.requests
    assert request.job_id == job_id
    assert run.completed() == {job_id: 1}


def test_ids_that_differ_only_when_decoded_are_different_jobs(
    tap: Folder, api: StandIn
) -> None:
    """One request each, and the rows of one never land in the other."""
    job_ids = ["A", "a", "%41", "%2541", "A ", "\u00e9", "e\u0301", "a/b", "a%2Fb"]
    unique = [job_id for job_id in job_ids if job_id != "A "]  # stripped: "A" again
    api.add(*(Job(job_id, rows=[{"name": job_id}]) for job_id in unique))
    run = tap.run(job_ids=job_ids)
    assert run.status == 0
    assert [request.job_id for request in api.requests] == unique
    assert {record["job_id"]: record["name"] for record in run.records()} == {
        job_id: job_id for job_id in unique
    }


def test_message_names_the_job_as_the_user_wrote_it(tap: Folder) -> None:
    """Not as it is written in a URL."""
    run = tap.run(job_ids=["a/b", "ü 1", "a?b#c"])
    assert run.status == 1
    starts = ("Job ü 1 failed: ", "2 jobs failed (a/b, a?b#c): ")
    for start, error in zip(starts, sorted(run.errors, reverse=True), strict=True):
        assert error.startswith(start)


@pytest.mark.parametrize("job_id", ["", " .. ", ".", "a\nb"], ids=ascii)
def test_invalid_job_id_is_refused(tap: Folder, api: StandIn, job_id: str) -> None:
    """Before any request: `..` would reach another address."""
    api.add(Job("good", rows=make_events(1)))
    run = tap.run(job_ids=["good", job_id])
    assert run.status == 1
    assert run.stdout == b""
    assert "`job_ids`" in run.errors[0]
    assert not api.requests


@pytest.mark.parametrize(
    "job_id",
    ["", " ", ".", "..", " .. ", "\u00a0", "\n"]
    + [f"a{chr(code)}b" for code in [*range(32), *range(127, 160)]],
    ids=ascii,
)
def test_every_invalid_job_id_is_refused(job_id: str) -> None:
    """Each control character, and what would be no part of a path."""
    with pytest.raises(ConfigValidationError) as caught:
        job_ids.parse([job_id], "`job_ids`")
    assert "`job_ids`" in caught.value.errors[0]


INVISIBLE = ["\u200b", "\u200d", "\u202e", "\u2066", "\ufeff", "\u00ad", "\u2060"]
CONFUSING = {
    **{f"b{mark}c": f"U+{ord(mark):04X}" for mark in INVISIBLE},
    **{"ü" * length: "1,000 characters" for length in (1_001, 100_000)},
}


@pytest.mark.parametrize("setting", ["job_ids", "jobs_file"])
@pytest.mark.parametrize(("job_id", "said"), CONFUSING.items(), ids=ascii)
def test_invisible_or_very_long_job_id_is_refused_in_a_short_line(
    tap: Folder, api: StandIn, job_id: str, said: str, setting: str
) -> None:
    """Two IDs could look the same, and a line of the log could look like another."""
    value: Any = ["a", job_id]
    if setting == "jobs_file":
        value = str(tap.write("jobs.txt", f"a\n{job_id}\n".encode()))
    run = tap.run(**{setting: value})
    assert run.status == 1
    assert not api.requests
    [error] = run.errors
    for text in (f"`{setting}`", " 2", said):
        assert text in error
    assert job_id not in run.stderr
    assert max(map(len, run.stderr.splitlines())) < 500


HINTS = {
    "job000 job001": "separated by commas",
    "job000\u00a0job001": "separated by commas",
    '"abc7"': "quotes",
    "'abc8": "quotes",
    "\u201cabc123\u201d": "quotes",
    "https://api.fullstory.com/v2/events/batch/abc123": "address",
    "job_id,created": "CSV",
    "abc123,2026-01-15T01:30:15Z,COMPLETED": "CSV",
    "abc124;COMPLETED": "CSV",
    '{"job_ids": ["abc123"]}': "JSON",
    "[abc123]": "JSON",
}


def test_sentence_for_a_missing_job_names_what_looks_wrong_in_its_id(
    tap: Folder, api: StandIn
) -> None:
    """Each ID is asked for as it is."""
    names = ["b", *HINTS, "abc124", "abd123=", "ü/1"]
    run = tap.run(job_ids=names)
    assert run.status == 1
    assert [request.job_id for request in api.requests] == names
    for error in run.errors:
        named = [job_id for job_id in HINTS if job_id in error]
        hints = {HINTS[job_id] for job_id in named}
        assert {hint for hint in HINTS.values() if hint in error} == hints
    assert len(run.errors) == 1 + len({*HINTS.values()})


def test_id_that_looks_wrong_is_read_where_the_api_knows_it(
    tap: Folder, api: StandIn
) -> None:
    """IDs are opaque."""
    api.add(*(Job(job_id, rows=make_events(1)) for job_id in HINTS))
    run = tap.run(job_ids=[*HINTS])
    assert run.status == 0
    assert run.completed() == dict.fromkeys(HINTS, 1)
    assert not run.warnings


def test_page_tokens_go_back_exactly_as_they_came(tap: Folder, api: StandIn) -> None:
    """Beside the other parameters, and the last page is reached."""
    rows = make_events(len(TOKENS) + 1)
    api.add(Job("a", rows=rows, page_size=1, tokens=TOKENS))
    run = tap.run(job_ids=["a"], include_schema=True)
    assert run.status == 0
    assert [request.token for request in api.requests] == [None, *TOKENS]
    for request, token in zip(api.requests[1:], TOKENS, strict=True):
        assert request.query == {"page_token": token, "include_schema": "true"}
    assert run.places("a") == [*range(len(rows))]


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
        unique=True,
        min_size=1,
        max_size=4,
    )
)
def test_any_page_token_goes_back_exactly_as_it_came(
    tap: Folder, api: StandIn, tokens: list[str]
) -> None:
    """Tokens are opaque."""
    api.clear()
    rows = make_events(len(tokens) + 1)
    api.add(Job("a", rows=rows, page_size=1, tokens=tokens))
    run = tap.run(job_ids=["a"])
    assert run.status == 0
    assert [request.token for request in api.requests] == [None, *tokens]


def test_page_token_that_no_url_can_hold_fails_only_its_job(
    tap: Folder, api: StandIn
) -> None:
    """A lone surrogate: a text of JSON's that UTF-8 does not know."""
    body = '{"results": [], "total_records": "0", "next_page_token": "\\ud800"}'
    api.add(Job("b", rows=make_events(1)))
    api.add(
        Job(
            "a",
            script={"imports": [Answer(body=body)] * 20},
        )
    )
    run = tap.run(job_ids=["a", "b"], max_attempts=2)
    assert run.status == 1
    assert run.completed() == {"b": 1}
    [error] = run.errors
    assert error.startswith("Job a failed: ")
