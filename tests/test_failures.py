"""What each answer of the API leads to: rows, STATE, exit status and words."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run
    from tests.stand_in import StandIn

ROWS = make_events(6)
Script = dict[str, list[Answer | None]]

REFUSALS = {
    "400": (Answer(status=400), ("400", "required_field", "uid is required")),
    "405": (
        Answer(status=405, body={"code": "odd", "message": "No."}),
        ("405", "odd", "No."),
    ),
    "409 without a body": (Answer(status=409), ("409",)),
    "410 not JSON": (Answer(status=410, body="<html>Gone</html>"), ("410",)),
    "422 odd types": (Answer(status=422, body={"code": 7, "message": []}), ("422",)),
    "451 not an object": (Answer(status=451, body='["x"]'), ("451",)),
}
REDIRECTS = {
    str(status): Answer(
        status=status, headers={"Location": "https://elsewhere.example.com/x"}
    )
    for status in (301, 302, 303, 307, 308)
} | {"304": Answer(status=304), "300": Answer(status=300)}
PASSING = {
    "500": (Answer(status=500), ("500", "server_error")),
    "500 without a body": (Answer(status=500), ("500",)),
    "502 not JSON": (Answer(status=502, body="<html>Bad gateway</html>"), ("502",)),
    "503": (Answer(status=503), ("503",)),
    "504": (Answer(status=504), ("504",)),
    "599": (Answer(status=599), ("599",)),
    "dropped": (Answer(drop=True), ("connection",)),
    "cut": (Answer(cut=10), ("cut off",)),
    "cut before the body": (Answer(cut=0), ("cut off",)),
    "no body": (Answer(status=200, body=""), ("JSON",)),
    "not JSON": (Answer(body="<html>Welcome</html>"), ("not JSON",)),
    "half JSON": (Answer(body='{"results": [{"name": "se'), ("not JSON",)),
    "not UTF-8": (Answer(body=b'{"results": [{"name": "\xff"}]}'), ("UTF-8",)),
    "a list": (Answer(body="[]"), ("object",)),
    "null": (Answer(body="null"), ("object",)),
    "a text": (Answer(body='"secret"'), ("object",)),
    "an error with 200": (
        Answer(body={"code": "server_error", "message": "x"}),
        ("error", "200"),
    ),
    "results an object": (Answer(body={"results": {}}), ("results",)),
    "results a text": (Answer(body={"results": "secret"}), ("results",)),
    "results of numbers": (Answer(body={"results": [1]}), ("results",)),
    "results of null": (Answer(body={"results": [None]}), ("results",)),
    "token a number": (
        Answer(body={"results": [], "next_page_token": 5}),
        ("next_page_token",),
    ),
    "201": (Answer(status=201, body={"results": [{"name": "x"}]}), ("201",)),
    "204": (Answer(status=204), ("204",)),
    "206": (Answer(status=206, body={"results": [{"name": "x"}]}), ("206",)),
}


def of(run: Run, job_id: str) -> list[int]:
    return [row["event_index"] for row in run.records() if row["job_id"] == job_id]


def assert_only_a_failed(run: Run, *said: str) -> None:
    """Job `b` is complete, `a` is not, and the last line says why."""
    assert run.status == 1
    assert of(run, "b") == list(range(6))
    assert run.completed() == {"b": 6}
    assert "Traceback" not in run.stderr
    assert run.lines[-1] == run.errors[-1]
    assert run.lines[-1].startswith("Job a failed: ")
    assert len(run.lines[-1]) < 600
    for text in said:
        assert text in run.lines[-1]


def run_with(
    api: StandIn, tap: Folder, script: Script, attempts: int = 3, **settings: Any
) -> Run:
    """Run with a job `a` that follows the script and a job `b` that is well."""
    api.add(
        Job("a", rows=ROWS, page_size=2, script=script),
        Job("b", rows=ROWS, page_size=4),
    )
    return tap.run(job_ids=["a", "b"], max_attempts=attempts, **settings)


# What fails the job at once


@pytest.mark.parametrize(("answer", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_request_fails_the_job_at_once(
    api: StandIn, tap: Folder, answer: Answer, said: tuple[str, ...]
) -> None:
    run = run_with(api, tap, {"imports": [answer]})

    assert_only_a_failed(run, *said)
    assert of(run, "a") == []
    assert len(api.asked("a")) == 1


def test_a_refused_later_page_leaves_the_job_unfinished(
    api: StandIn, tap: Folder
) -> None:
    run = run_with(api, tap, {"imports:1": [Answer(status=400)]})

    assert_only_a_failed(run, "400")
    assert of(run, "a") == [0, 1]


def test_the_message_of_the_api_is_bounded_and_on_one_line(
    api: StandIn, tap: Folder
) -> None:
    message = "bad\r\nERROR forged\x1b[31m\x00\u202e\u2028" + "x" * 100_000
    body = {"code": "c" * 10_000, "message": message}

    run = run_with(api, tap, {"imports": [Answer(status=400, body=body)]})

    assert_only_a_failed(run, "400", "bad", "x" * 50)
    assert len(run.errors) == 1
    for character in "\r\x1b\x00\u202e\u2028":
        assert character not in run.stderr
    assert "x" * 300 not in run.stderr
    assert "c" * 300 not in run.stderr


def test_a_key_that_the_api_repeats_is_not_shown(api: StandIn, tap: Folder) -> None:
    body = {"code": f"x{api.api_key}", "message": f"Basic {api.api_key} may not"}

    run = run_with(api, tap, {"imports": [Answer(status=400, body=body)]})

    assert_only_a_failed(run, "400")
    assert api.api_key not in run.stderr
    assert api.api_key not in run.stdout.decode()


@pytest.mark.parametrize("answer", REDIRECTS.values(), ids=REDIRECTS)
def test_a_redirect_is_not_followed_and_names_api_url(
    api: StandIn, tap: Folder, answer: Answer
) -> None:
    run = run_with(api, tap, {"imports": [answer]})

    assert_only_a_failed(run, "redirect", "`api_url`")
    assert of(run, "a") == []
    assert len(api.asked("a")) == 1


def test_a_redirect_to_the_same_server_is_not_followed(
    api: StandIn, tap: Folder
) -> None:
    answer = Answer(
        status=307, headers={"Location": f"{api.url}/v2/events/batch/b/imports"}
    )

    run = run_with(api, tap, {"imports": [answer]})

    assert_only_a_failed(run, "redirect", "`api_url`")
    assert of(run, "a") == []
    assert len(api.requests) == 3


# What the API does not know


@pytest.mark.parametrize("attempts", [1, 5])
def test_a_missing_job_fails_and_the_message_says_what_to_do(
    api: StandIn, tap: Folder, attempts: int
) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], max_attempts=attempts)

    assert_only_a_failed(run, "404", "resource_not_found", "`missing_jobs`", "`skip`")
    assert len(api.asked("a")) == 1


def test_a_missing_job_can_be_skipped(api: StandIn, tap: Folder) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], missing_jobs="skip")

    assert run.status == 0
    assert run.completed() == {"b": 6}
    assert of(run, "b") == list(range(6))
    assert run.errors == []
    warnings = [line for line in run.stderr.splitlines() if " | WARNING " in line]
    assert len(warnings) == 1
    assert "Job a is skipped" in warnings[0]
    assert "404" in warnings[0]
    assert "skipped 1, failed 0" in run.stderr


# What stops the run


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_the_run_and_says_what_a_key_needs(
    api: StandIn, tap: Folder, status: int
) -> None:
    refused = Answer(status=status)
    others = [Job(f"b{number}", rows=ROWS) for number in range(50)]
    api.add(Job("a", rows=ROWS, script={"imports": [refused]}), *others)

    run = tap.run(job_ids=["a", *(job.job_id for job in others)])

    assert run.status == 1
    assert len(api.requests) < 20
    assert "Traceback" not in run.stderr
    assert run.lines[-1] == run.errors[-1]
    for text in (str(status), "`api_key`", "Architect", "Admin"):
        assert text in run.lines[-1]
    assert api.api_key not in run.stderr
    read = {record["job_id"] for record in run.records()}
    assert run.completed().keys() <= read


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_refused_in_the_middle_keeps_what_is_finished(
    api: StandIn, tap: Folder, status: int
) -> None:
    # The job is still processing at first, so that the other one comes before it.
    script: Script = {"imports": [Answer(status=202), None, Answer(status=status)]}

    run = run_with(api, tap, script)

    assert run.status == 1
    assert run.completed() == {"b": 6}
    assert of(run, "b") == list(range(6))
    assert of(run, "a") == [0, 1]
    assert "Architect or Admin" in run.lines[-1]


def test_a_wrong_key_is_refused(api: StandIn, tap: Folder) -> None:
    api.add(Job("a", rows=ROWS))

    run = tap.run(job_ids=["a"], api_key="na1.wrong-key")

    assert run.status == 1
    assert run.records() == []
    assert run.completed() == {}
    assert len(api.requests) == 1
    assert "401 unauthorized: access is unauthorized" in run.lines[-1]
    assert "na1.wrong-key" not in run.stderr


# What may pass


@pytest.mark.parametrize(("answer", "said"), PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again_and_then_fails_the_job(
    api: StandIn, tap: Folder, answer: Answer, said: tuple[str, ...]
) -> None:
    run = run_with(api, tap, {"imports": [answer] * 3})

    assert_only_a_failed(run, *said, "3 attempts")
    assert of(run, "a") == []
    assert len(api.asked("a")) == 3
    assert "secret" not in run.stderr


@pytest.mark.parametrize(("answer", "said"), PASSING.values(), ids=PASSING)
def test_what_passes_costs_no_row_and_doubles_none(
    api: StandIn, tap: Folder, answer: Answer, said: tuple[str, ...]
) -> None:
    run = run_with(api, tap, {"imports:1": [answer, answer]})

    assert run.status == 0
    assert of(run, "a") == list(range(6))
    names = [row["name"] for row in run.records() if row["job_id"] == "a"]
    assert names == [row["name"] for row in ROWS]
    assert run.completed() == {"a": 6, "b": 6}
    assert run.errors == []
    assert len(api.asked("a", "imports")) == 5
    assert "requests 7, retries 2" in run.stderr
    for text in said:
        assert text in run.stderr


def test_a_request_that_hangs_is_given_up(api: StandIn, tap: Folder) -> None:
    script: Script = {"imports": [Answer(hang=True)] * 2}

    run = run_with(api, tap, script, attempts=2, request_timeout=0.2)

    assert_only_a_failed(run, "0.2 s", "2 attempts")
    assert len(api.asked("a")) == 2


def test_a_request_that_hangs_once_is_tried_again(api: StandIn, tap: Folder) -> None:
    script: Script = {"imports:1": [Answer(hang=True)]}

    run = run_with(api, tap, script, request_timeout=0.2)

    assert run.status == 0
    assert of(run, "a") == list(range(6))
    assert run.completed() == {"a": 6, "b": 6}


def test_an_answer_that_trickles_is_bounded_as_a_whole(
    api: StandIn, tap: Folder
) -> None:
    body = {"results": [], "total_records": "0", "padding": "x" * 1_000}
    script: Script = {"imports": [Answer(body=body, trickle=0.01)]}

    run = run_with(api, tap, script, attempts=1, request_timeout=0.3)

    assert_only_a_failed(run, "0.3 s")
    first, *_, last = (request.at for request in api.requests)
    assert last - first < 3


def test_a_job_that_always_fails_later_is_read_up_to_there(
    api: StandIn, tap: Folder
) -> None:
    run = run_with(api, tap, {"imports:2": [Answer(status=503)] * 3})

    assert_only_a_failed(run, "503", "3 attempts")
    assert of(run, "a") == [0, 1, 2, 3]


def test_attempts_are_counted_for_each_request(api: StandIn, tap: Folder) -> None:
    fault = Answer(status=500)
    script: Script = {f"imports:{page}": [fault, fault] for page in range(3)}

    run = run_with(api, tap, script)

    assert run.status == 0
    assert of(run, "a") == list(range(6))
    assert len(api.asked("a")) == 9
    assert "retries 6" in run.stderr


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_request_is_tried_as_often_as_max_attempts_says(
    api: StandIn, tap: Folder, attempts: int
) -> None:
    script: Script = {"imports": [Answer(status=500)] * attempts}

    run = run_with(api, tap, script, attempts=attempts)

    assert_only_a_failed(run, f"{attempts} attempt")
    assert len(api.asked("a")) == attempts


def test_the_waits_between_attempts_grow(api: StandIn, tap: Folder) -> None:
    run = run_with(api, tap, {"imports": [Answer(status=500)] * 6}, attempts=6)

    waits = [float(wait) for wait in re.findall(r"next one in ([\d.]+) s", run.stderr)]
    assert len(waits) == 5
    for number, wait in enumerate(waits):
        assert 2**number <= wait <= 2 ** (number + 1)
    first, *later = (request.at for request in api.asked("a"))
    # The clock of the run is 100 times faster than the one of the server.
    assert (later[-1] - first) * 100 >= sum(waits) * 0.99


def test_a_server_that_is_not_there_fails_the_job(api: StandIn, tap: Folder) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    run = tap.run(
        job_ids=["a", "b"], api_url=f"http://127.0.0.1:{port}", max_attempts=2
    )

    assert run.status == 1
    assert run.records() == []
    assert run.completed() == {}
    assert "Traceback" not in run.stderr
    assert len(run.errors) == 2
    assert run.lines[-2:] == run.errors
    for job_id, line in zip("ab", sorted(run.errors), strict=True):
        assert line.startswith(f"Job {job_id} failed: ")
        assert "Connection refused" in line
    assert api.requests == []


# The end of the run


def test_the_last_lines_name_every_job_that_failed(api: StandIn, tap: Folder) -> None:
    answers = {
        "bad": Answer(status=400),
        "away": Answer(status=302),
        "down": Answer(status=503),
        "odd": Answer(body="[]"),
    }
    for name, answer in answers.items():
        api.add(Job(name, rows=ROWS, script={"imports": [answer] * 2}))
    api.add(Job("good", rows=ROWS))

    run = tap.run(job_ids=[*answers, "missing", "good"], max_attempts=2)

    assert run.status == 1
    assert run.completed() == {"good": 6}
    assert len(run.errors) == 5
    assert run.lines[-5:] == run.errors
    named = {line.split()[1] for line in run.errors}
    assert named == {*answers, "missing"}
    assert "Traceback" not in run.stderr
