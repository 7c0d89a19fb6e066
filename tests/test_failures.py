"""What each answer of the API leads to: rows, STATE, exit code and words."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.stand_in import Answer, Job, StandIn, make_events

if TYPE_CHECKING:
    from tests.harness import Folder, Run

ROWS = make_events(6)
Script = dict[str, list[Answer | None]]

REFUSALS = {
    "400": (Answer(status=400), ("400", "required_field", "uid is required")),
    "405": (
        Answer(status=405, body={"code": "odd", "message": "No."}),
        ("405", "odd", "No."),
    ),
    "406 without a body": (Answer(status=406), ("406",)),
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
TEMPORARY = (408, 409, 421, 423, 425)
PASSING = {
    **{str(status): (Answer(status=status), (str(status),)) for status in TEMPORARY},
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
    "not UTF-8 in a payload": (
        Answer(body=b'{"results": [{"properties": {"a": "\xff"}}]}'),
        ("UTF-8",),
    ),
    "a list": (Answer(body="[]"), ("object",)),
    "null": (Answer(body="null"), ("object",)),
    "a text": (Answer(body='"secret"'), ("object",)),
    "an error with 200": (
        Answer(body={"code": "server_error", "message": "x"}),
        ("error", "200"),
    ),
    "an error object with 200": (
        Answer(body={"error": {"status": 500, "message": "secret"}}),
        ("error", "200"),
    ),
    "an error text with 200": (Answer(body={"error": "secret"}), ("error", "200")),
    "a message with 200": (Answer(body={"message": "secret"}), ("error", "200")),
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


def assert_only_a_failed(run: Run, *said: str) -> None:
    """Job `b` is complete, `a` is not, and the last line says why."""
    assert run.status == 1
    assert run.places("b") == list(range(6))
    assert run.completed() == {"b": 6}
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
def test_refused_request_fails_the_job_at_once(
    api: StandIn, tap: Folder, answer: Answer, said: tuple[str, ...]
) -> None:
    run = run_with(api, tap, {"imports": [answer]})

    assert_only_a_failed(run, *said)
    assert run.places("a") == []
    assert len(api.asked("a")) == 1


def test_refused_later_page_leaves_the_job_unfinished(
    api: StandIn, tap: Folder
) -> None:
    run = run_with(api, tap, {"imports:1": [Answer(status=400)]})

    assert_only_a_failed(run, "400")
    assert run.places("a") == [0, 1]


def test_message_of_the_api_is_bounded_and_on_one_line(
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


@pytest.mark.parametrize("answer", REDIRECTS.values(), ids=REDIRECTS)
def test_redirect_is_not_followed_and_names_api_url(
    api: StandIn, tap: Folder, answer: Answer
) -> None:
    run = run_with(api, tap, {"imports": [answer]})

    assert_only_a_failed(run, "redirect", "`api_url`")
    assert run.places("a") == []
    assert len(api.asked("a")) == 1


# What the API does not know


def test_missing_job_fails_and_the_message_says_what_to_do(
    api: StandIn, tap: Folder
) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"])

    assert_only_a_failed(run, "404", "resource_not_found", "`missing_jobs`", "`skip`")
    assert len(api.asked("a")) == 1


def test_missing_job_can_be_skipped(api: StandIn, tap: Folder) -> None:
    api.add(Job("b", rows=ROWS))

    run = tap.run(job_ids=["a", "b"], missing_jobs="skip")

    assert run.status == 0
    assert run.completed() == {"b": 6}
    assert run.places("b") == list(range(6))
    assert run.errors == []
    [warning] = run.warnings
    assert "Job a: Skipped" in warning
    assert "404" in warning
    assert "skipped 1, failed 0" in run.stderr


# What stops the run


ABOUT_KEYS = {
    401: ("401", "`api_key`"),
    403: ("403", "Architect", "Admin", "Standard", "status"),
}


@pytest.mark.parametrize(("status", "said"), ABOUT_KEYS.items())
def test_refused_key_stops_the_run_and_says_what_a_key_needs(
    api: StandIn, tap: Folder, status: int, said: tuple[str, ...]
) -> None:
    refused = Answer(status=status)
    others = [Job(f"b{number}", rows=ROWS) for number in range(50)]
    api.add(Job("a", rows=ROWS, script={"imports": [refused]}), *others)

    run = tap.run(job_ids=["a", *(job.job_id for job in others)])

    assert run.status == 1
    assert len(api.requests) < 20
    assert run.lines[-1] == run.errors[-1]
    for text in said:
        assert text in run.lines[-1]
    read = {record["job_id"] for record in run.records()}
    assert run.completed().keys() <= read


ACCEPTED = {
    "a page": Job("first", rows=ROWS),
    "202": Job("first", processing=-1),
    "404": Job("first", script={"imports": [Answer(status=404)]}),
}


@pytest.mark.parametrize(("status", "said"), ABOUT_KEYS.items())
@pytest.mark.parametrize("first", ACCEPTED.values(), ids=ACCEPTED)
def test_key_refused_after_an_accepted_answer_fails_its_job_only(
    api: StandIn, tap: Folder, first: Job, status: int, said: tuple[str, ...]
) -> None:
    refused: Script = {"imports": [Answer(status=status)] * 9}
    api.add(first, Job("a", rows=ROWS, script=refused), Job("b", rows=ROWS))

    run = tap.run(job_ids=["first", "a", "b"], missing_jobs="skip", job_wait_timeout=5)

    read = {"first": 6} if first.rows else {}
    assert run.status == 1
    assert run.completed() == {**read, "b": 6}
    assert run.places("b") == list(range(6))
    assert len(api.asked("a")) == 1
    [error] = run.errors
    for text in ("Job a failed", *said):
        assert text in error


@pytest.mark.parametrize("status", [401, 403])
def test_key_refused_between_pages_fails_its_job_only(
    api: StandIn, tap: Folder, status: int
) -> None:
    run = run_with(api, tap, {"imports:1": [Answer(status=status)]})

    assert_only_a_failed(run, str(status))
    assert run.places("a") == [0, 1]


def test_key_refused_in_one_stream_leaves_the_others(api: StandIn, tap: Folder) -> None:
    """Failures of one job may be closed where its events are open."""
    refused: Script = {"errors": [Answer(status=403)]}
    api.add(Job("a", rows=ROWS, script=refused), Job("b", rows=ROWS))
    tap.streams = ("imported_events", "import_errors", "import_jobs")

    run = tap.run(job_ids=["a", "b"])

    assert run.status == 1
    assert run.completed() == {"a": 6, "b": 6}
    assert run.completed("import_errors") == {"b": 0}
    assert run.completed("import_jobs") == {"a": 1, "b": 1}
    assert "403" in run.errors[-1]


def test_wrong_key_is_refused(api: StandIn, tap: Folder) -> None:
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
def test_temporary_failure_is_retried_and_then_fails_the_job(
    api: StandIn, tap: Folder, answer: Answer, said: tuple[str, ...]
) -> None:
    run = run_with(api, tap, {"imports": [answer] * 3})

    assert_only_a_failed(run, *said, "3 attempts")
    assert run.places("a") == []
    assert len(api.asked("a")) == 3
    assert "secret" not in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "said"), PASSING.values(), ids=PASSING)
def test_temporary_failure_loses_and_repeats_no_row(
    api: StandIn, tap: Folder, answer: Answer, said: tuple[str, ...]
) -> None:
    run = run_with(api, tap, {"imports:1": [answer, answer]})

    assert run.status == 0
    assert run.places("a") == list(range(6))
    names = [row["name"] for row in run.records() if row["job_id"] == "a"]
    assert names == [row["name"] for row in ROWS]
    assert run.completed() == {"a": 6, "b": 6}
    assert run.errors == []
    assert len(api.asked("a", "imports")) == 5
    assert "requests 7, retries 2" in run.stderr
    for text in said:
        assert text in run.stderr


def test_request_that_hangs_is_given_up(api: StandIn, tap: Folder) -> None:
    script: Script = {"imports": [Answer(hang=True)] * 2}

    run = run_with(api, tap, script, attempts=2, request_timeout=0.2)

    assert_only_a_failed(run, "0.2 s", "2 attempts")
    assert len(api.asked("a")) == 2


def test_request_that_hangs_once_is_tried_again(api: StandIn, tap: Folder) -> None:
    script: Script = {"imports:1": [Answer(hang=True)]}

    run = run_with(api, tap, script, request_timeout=0.2)

    assert run.status == 0
    assert run.places("a") == list(range(6))
    assert run.completed() == {"a": 6, "b": 6}


def test_job_that_always_fails_later_is_read_up_to_there(
    api: StandIn, tap: Folder
) -> None:
    run = run_with(api, tap, {"imports:2": [Answer(status=503)] * 3})

    assert_only_a_failed(run, "503", "3 attempts")
    assert run.places("a") == [0, 1, 2, 3]


def test_attempts_are_counted_for_each_request(api: StandIn, tap: Folder) -> None:
    fault = Answer(status=500)
    script: Script = {f"imports:{page}": [fault, fault] for page in range(3)}

    run = run_with(api, tap, script)

    assert run.status == 0
    assert run.places("a") == list(range(6))
    assert len(api.asked("a")) == 9
    assert "retries 6" in run.stderr


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_request_is_tried_as_often_as_max_attempts_says(
    api: StandIn, tap: Folder, attempts: int
) -> None:
    script: Script = {"imports": [Answer(status=500)] * attempts}

    run = run_with(api, tap, script, attempts=attempts)

    assert_only_a_failed(run, f"{attempts} attempt")
    assert len(api.asked("a")) == attempts


def test_waits_between_attempts_grow(api: StandIn, tap: Folder) -> None:
    run = run_with(api, tap, {"imports": [Answer(status=500)] * 6}, attempts=6)

    waits = [float(wait) for wait in re.findall(r"next one in ([\d.]+) s", run.stderr)]
    assert len(waits) == 5
    for number, wait in enumerate(waits):
        assert 2**number <= wait <= 2 ** (number + 1)
    first, *later = (request.at for request in api.asked("a"))
    # The clock of the run is 100 times faster than the one of the server.
    assert (later[-1] - first) * 100 >= sum(waits) * 0.99


# An address that never answers


def closed_port() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


SILENT = {
    "refused": (None, "Connection refused"),
    "dropped": (Answer(drop=True), "connection"),
    "hanging": (Answer(hang=True), "0.1 s"),
    "not HTTP": (Answer(raw=b"SSH-2.0-OpenSSH\r\n"), ""),
}


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize(("answer", "said"), SILENT.values(), ids=SILENT)
def test_address_that_never_answers_ends_the_run_in_one_sentence(
    api: StandIn, tap: Folder, answer: Answer | None, said: str, concurrency: int
) -> None:
    names = [f"job-{number}" for number in range(12)]
    tap.streams = ("imported_events", "import_errors", "import_jobs")
    for name in names:
        script = {end: [answer] * 9 for end in ("imports", "errors", "status")}
        api.add(Job(name, rows=ROWS, script=script))

    run = tap.run(
        job_ids=names,
        api_url=api.url if answer else closed_port(),
        concurrency=concurrency,
        max_attempts=2,
        request_timeout=0.1,
    )

    assert run.status == 1
    assert b"job-" not in run.stdout
    [error] = run.errors
    assert run.lines[-1] == error
    for text in (said, "`api_url`"):
        assert text in error
    assert {*run.durations.values()} == {"failed"}


def test_100_jobs_at_an_address_that_never_answers_make_a_short_log(
    tap: Folder,
) -> None:
    names = [f"job-{number}" for number in range(100)]

    run = tap.run(job_ids=names, api_url=closed_port(), concurrency=4)

    assert run.status == 1
    assert len(run.errors) == 1
    assert len(run.lines) < 40


# The same for many jobs


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Answer(status=400), "400"),
        (Answer(status=503), "503"),
        (Answer(drop=True), "connection"),
    ],
)
def test_equal_failures_of_many_jobs_are_one_line_that_counts_them(
    api: StandIn, tap: Folder, fault: Answer, said: str
) -> None:
    names = [f"job-{number:02}" for number in range(20)]
    bad: Script = {"imports": [fault] * 9}
    odd: Script = {"imports": [Answer(status=302)]}
    api.add(Job("good", rows=ROWS), Job("odd", script=odd))
    api.add(*(Job(name, script=bad) for name in names))

    run = tap.run(job_ids=["good", "odd", *names], max_attempts=2)

    assert run.status == 1
    assert run.completed() == {"good": 6}
    assert run.summary["failed"] == 21
    assert sorted(run.lines[-2:]) == sorted(run.errors)
    [other, line] = sorted(run.errors, key=lambda error: "20 jobs failed" in error)
    assert other.startswith("Job odd failed: ")
    assert said in line
    assert len({*re.findall(r"job-\d\d", line)}) == 5


def test_two_equal_failures_name_both_jobs(tap: Folder) -> None:
    run = tap.run(job_ids=["gone", "lost"])

    assert run.status == 1
    [line] = run.errors
    for text in ("2 jobs failed", "gone", "lost", "404", "`missing_jobs`"):
        assert text in line


@pytest.mark.parametrize("fault", [Answer(status=503), Answer(drop=True)])
def test_equal_warnings_within_a_minute_are_one_line_with_a_count(
    api: StandIn, tap: Folder, fault: Answer
) -> None:
    names = [f"job-{number:02}" for number in range(20)]
    api.add(Job("good", rows=ROWS))
    api.add(*(Job(name, rows=ROWS, script={"imports": [fault]}) for name in names))

    # Of the minute, the requests take a part that depends on the machine.
    run = tap.run(job_ids=["good", *names], speed=10)

    assert run.status == 0
    assert len(run.completed()) == 21
    assert run.summary["retries"] == 20
    # The first one may be shown at once, the others when the minute is over.
    assert 1 <= len(run.warnings) <= 2
    assert re.search(r"\b(19|20) (more |other )?jobs\b", run.warnings[-1])


# The end of the run


def test_last_lines_name_every_job_that_failed(api: StandIn, tap: Folder) -> None:
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
