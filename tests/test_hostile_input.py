"""Input that is huge, deep or odd is read exactly or rejected with a clear message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder
    from tests.stand_in import StandIn

DEEP = 10_000
HUGE = 20_000_000


def test_jobs_file_of_100_000_lines_is_read_to_its_last_one(
    tap: Folder, api: StandIn
) -> None:
    """With a byte order mark, the line ends of Windows and most jobs finished."""
    job_ids = [f"job-{number:06}" for number in range(100_000)]
    unread = [job_ids[0], job_ids[50_000], job_ids[-1]]
    api.add(*(Job(job_id, rows=make_events(1)) for job_id in unread))
    text = "\r\n".join(["# all jobs of a year", "", *job_ids, "", ""])
    path = tap.write("jobs.txt", b"\xef\xbb\xbf" + text.encode())
    done = {job_id: 1 for job_id in job_ids if job_id not in unread}
    state = {"bookmarks": {"imported_events": {"completed_jobs": done}}}
    result = tap.run(jobs_file=str(path), state=state)
    assert result.status == 0, result.stderr[-2_000:]
    assert [request.job_id for request in api.requests] == unread
    assert result.completed() == dict.fromkeys(job_ids, 1)


def test_text_of_20_megabytes_leaves_as_it_came(tap: Folder, api: StandIn) -> None:
    """The page is within the limit, so it is a page like any other."""
    row = b'{"name":"%b","properties":{"n":1}}' % (b"x" * HUGE)
    api.add(Job("a", raw_pages=[b"[%b]" % row], total=1), Job("b", rows=make_events(1)))
    result = tap.run(job_ids=["a", "b"])
    assert result.status == 0
    assert result.completed() == {"a": 1, "b": 1}
    assert row[:-1] in result.stdout
    assert max(map(len, result.stderr.splitlines())) < 1_000


@pytest.mark.parametrize("marks", ["[]", "{}"])
@pytest.mark.parametrize("place", ["payload", "row", "results", "beside"])
def test_page_nested_10_000_deep_is_read_exactly_or_fails_its_job(
    tap: Folder, api: StandIn, marks: str, place: str
) -> None:
    """Which of both depends on the version of Python; the other job is read."""
    deep = "[" * DEEP + "1" + "]" * DEEP
    if marks == "{}":
        deep = '{"a":' * DEEP + "1" + "}" * DEEP
    page = {
        "payload": f'{{"results":[{{"name":"x","properties":{{"deep":{deep}}}}}]',
        "row": f'{{"results":[{deep}]',
        "results": f'{{"results":{deep}',
        "beside": f'{{"results":[{{"name":"x"}}],"new":{deep}',
    }[place]
    answer = Answer(body=page + ',"total_records":"1"}')
    api.add(
        Job("a", script={"imports": [answer] * 9}),
        Job("b", rows=make_events(2)),
    )
    result = tap.run(job_ids=["a", "b"], max_attempts=2)
    assert result.completed()["b"] == 2
    if result.status == 0:
        assert result.completed()["a"] == 1
        row = deep[len('{"a":') : -1] if place == "row" else deep  # has more fields now
        assert place == "beside" or row.encode() in result.stdout
    else:
        assert "a" not in result.completed()
        assert deep.encode() not in result.stdout
        assert result.errors[0].startswith("Job a failed: ")


def test_last_of_duplicate_keys_of_a_page_counts(tap: Folder, api: StandIn) -> None:
    """As within a row; a page that is split and one that is decoded, alike."""
    for space in ("", "\n"):
        body = (
            '{"results":[{"name":"first"}],"total_records":"7","next_page_token":"x",'
            f'{space}"total_records":"1","next_page_token":"",'
            '"results":[{"name":"last"}]}'
        )
        api.add(Job("a", script={"imports": [Answer(body=body)]}))
        result = tap.run(job_ids=["a"])
        assert result.status == 0
        assert [record["name"] for record in result.records()] == ["last"]
        assert len(api.asked("a")) == 1
        api.clear()


@pytest.mark.parametrize("form", ['"{}"', "{}", "-{}", "1e{}", "{}.5"])
def test_total_of_very_many_digits_is_compared_or_counts_as_none(
    tap: Folder, api: StandIn, form: str
) -> None:
    """A job is complete by the count of its status, or fails in words."""
    status = '{"imports":1,"errors":0,"job":{"status":"COMPLETED"}}'
    job_ids = [str(digits) for digits in (1_000, 3_990, 4_100, 5_000, 100_000)]
    for digits in job_ids:
        total = form.format("9" * int(digits))
        body = f'{{"results":[{{"name":"x"}}],"total_records":{total}}}'
        script: dict[str, list[Answer | None]] = {
            "imports": [Answer(body=body)] * 9,
            "status": [Answer(body=status)] * 9,
        }
        api.add(Job(digits, script=script))
    api.add(Job("b", rows=make_events(1)))
    result = tap.run(job_ids=["b", *job_ids], max_attempts=2)
    completed = {"b", *result.completed()}
    assert result.completed() == dict.fromkeys(completed, 1)
    for job_id in {*job_ids} - completed:
        assert any(
            "failed" in error and job_id in error.split(": ")[0]
            for error in result.errors
        )


def test_count_of_very_many_digits_in_a_status_fails_its_job_in_words(
    tap: Folder, api: StandIn
) -> None:
    """The sentence is not as long as the number."""
    for digits in (1_000, 3_999, 4_300, 9_000):
        body = f'{{"imports":{"9" * digits},"job":{{"status":"COMPLETED"}}}}'
        api.add(
            Job(
                "a",
                rows=make_events(1),
                total=2,
                script={"status": [Answer(body=body)] * 9},
            ),
            Job("b", rows=make_events(1)),
        )
        result = tap.run(job_ids=["a", "b"], max_attempts=2)
        assert result.status == 1
        assert result.completed() == {"b": 1}
        assert len(result.errors[0]) < 6_000
