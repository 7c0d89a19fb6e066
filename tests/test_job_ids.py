"""Job IDs and page tokens are opaque: they reach the server exactly as they are."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stand_in import Answer, Job, make_events

IDS = [
    *("abd123=", "a/b", "/a", "a/", "//", "a?b#c", "?", "#", "ü 1", "%41", "%2F", "%"),
    *("%zz", "a..b", "...", "a/../b", "../b", "a/..", "./a", "%2e%2e", "..%2f..", ".a"),
    *("a.", "+", "a+b c", "a&b", "a=b&c=d", "a;b", "a:b", "a@b", "a\\b", "a'b\"c"),
    *("{a}[b]|^`", "$(a)!*", "-_.~", "imports", "status", "a/imports", "🧢", "日本"),
    *("e\u0301", "\u00e9", "a\u2028b", "null", "0", "007", "{job_id}", "%s %d {0}"),
    *("x" * 1_000, "ü" * 1_000, "A", "a", "%2541", "a%2Fb", "<a>", "job000 job001"),
    *('"abc7"', "https://api.fullstory.com/v2/events/batch/abc123", "job_id,created"),
    *('{"job_ids": ["abc123"]}', "[abc123]", "abc124;COMPLETED"),
]
TOKENS = [
    *("asd543=", "a+b/c==", "a&page_token=b", "a&include_schema=false", "a b", " a "),
    *(" ", "%41", "%", "a?b#c", "../../x", "ü🧢", "a;b,c:d", "\"quoted\" 'text' \\"),
    *("line\r\nbreak\ttab", "0", "null", "x" * 5_000),
]


def test_job_ids_reach_the_server_exactly(tap, api):
    """For rows and status. They leave in records and STATE as they were."""
    api.add(*(Job(job_id, rows=[{"name": job_id}], total=2) for job_id in IDS))
    run = tap.run(job_ids=[*IDS, "A "])
    assert run.status == 0
    assert [(request.raw_path, request.job_id) for request in api.requests] == [
        (f"/v2/events/batch/{quote(job_id, safe='')}{end}", job_id)
        for job_id in IDS
        for end in ("/imports", "")
    ]
    rows = [(record["job_id"], record["name"]) for record in run.records()]
    assert rows == [(job_id, job_id) for job_id in IDS]
    assert {*run.completed()} == {*IDS}
    assert not run.warnings
    api.clear()
    assert tap.run(job_ids=IDS, state=run.state).records() == []
    assert not api.requests


def test_message_names_the_job_as_the_user_wrote_it(tap):
    run = tap.run(job_ids=["a/b", "ü 1", "a?b#c"])
    assert run.status == 1
    [error] = run.errors
    assert error.startswith("3 jobs failed (a/b, ü 1, a?b#c): Fullstory does not know")


def test_page_tokens_go_back_exactly_as_they_came(tap, api):
    """Beside the other parameters, and the last page is reached."""
    rows = make_events(len(TOKENS) + 1)
    api.add(Job("a", rows=rows, page_size=1, tokens=TOKENS))
    run = tap.run(job_ids=["a"], include_schema=True)
    assert run.status == 0
    assert [request.token for request in api.requests] == [None, *TOKENS]
    for request, token in zip(api.requests[1:], TOKENS, strict=True):
        assert request.query == {"page_token": token, "include_schema": "true"}
    assert run.places("a") == [*range(len(rows))]


WORDS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cf"])
TEXTS = st.text(WORDS, min_size=1).map(str.strip).filter(lambda x: x.strip("."))
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, st.lists(ANY, unique=True, max_size=4))
def test_any_job_id_and_any_page_token_reach_the_server_exactly(
    tap, api, job_id, tokens
):
    api.clear()
    rows = make_events(len(tokens) + 1)
    api.add(Job(job_id, rows=rows, page_size=1, tokens=tokens))
    run = tap.run(job_ids=[job_id])
    assert run.status == 0
    assert {request.job_id for request in api.requests} == {job_id}
    assert [request.token for request in api.requests] == [None, *tokens]
    assert {*run.completed()} == {job_id}


def test_page_token_that_no_url_can_hold_fails_only_its_job(tap, api):
    """A lone surrogate: a text of JSON's that UTF-8 does not know."""
    body = '{"results": [], "total_records": "0", "next_page_token": "\\ud800"}'
    api.add(Job("b", rows=make_events(1)))
    api.add(Job("a", script={"imports": [Answer(body=body)] * 20}))
    run = tap.run(job_ids=["a", "b"], max_attempts=2)
    assert run.status == 1
    assert {*run.completed()} == {"b"}
    [error] = run.errors
    assert error.startswith("Job a failed: ")
