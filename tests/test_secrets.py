"""The API key is shown nowhere: not on stdout, not on stderr, not in STATE.

At any log level, in any failure, whatever the server says.
"""

from __future__ import annotations

import base64
import json
import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports import streams
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.harness import Run, run
from tests.invariants import PREFIX, SHOWN, forms_of
from tests.stand_in import DEFAULT_API_KEY as KEY
from tests.stand_in import Answer, Job, StandIn, make_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Folder

LEVELS = ["DEBUG", "INFO", "ERROR"]
ECHO = json.dumps({"code": f"bad {KEY}", "message": f"the key Basic {KEY} is unknown"})
ANSWERS: dict[str, Answer | None] = {
    "read": None,
    **{
        f"status {status}": Answer(status=status)
        for status in (
            *(201, 202, 204, 206, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404),
            *(405, 409, 410, 413, 418, 422, 429, 451, 500, 501, 502, 503, 504, 599),
        )
    },
    **{
        f"echo with {status}": Answer(status=status, body=ECHO)
        for status in (200, 202, 302, 400, 401, 403, 404, 429, 500, 503)
    },
    "echo in a text": Answer(status=500, body=f"key {KEY} refused"),
    "echo in a header": Answer(status=429, headers={"Retry-After": KEY}),
    "echo in a wait": Answer(
        status=503, headers={"Retry-After": "99999", "WWW-Authenticate": KEY}
    ),
    "echo in a count": Answer(body=json.dumps({"results": [], "total_records": KEY})),
    "echo in a field": Answer(body=json.dumps({"results": KEY})),
    "echo in no JSON": Answer(body=f'{{"results": [], {KEY}'),
    "echo in a header that is none": Answer(
        raw=f"HTTP/1.1 200 OK\r\nBasic {KEY}\r\n\r\n".encode()
    ),
    "echo in a status": Answer(raw=f"HTTP/1.1 500 {KEY}\r\n\r\n".encode()),
    "echo in no status": Answer(raw=f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
    "echo in no HTTP": Answer(raw=f"{KEY}\r\n".encode()),
    "echo in a chunk": Answer(
        raw=f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode()
    ),
    "echo in lengths": Answer(
        raw=f"HTTP/1.1 200 OK\r\nContent-Length: 1, {KEY}\r\n\r\n".encode()
    ),
    "echo in an encoding": Answer(headers={"Content-Encoding": f"gzip, {KEY}"}),
    "echo in a cookie": Answer(status=500, headers={"Set-Cookie": f"a={KEY}; Path=/"}),
    "echo in a token": Answer(body=json.dumps({"next_page_token": KEY})),
    "redirect with the key": Answer(
        status=302, headers={"Location": f"http://127.0.0.1:9/?key={KEY}"}
    ),
    "cut": Answer(cut=20),
    "dropped": Answer(drop=True),
    "no answer": Answer(hang=True),
    "trickle": Answer(trickle=0.02),
    "not JSON": Answer(body="<html>"),
    "not UTF-8": Answer(body=b"\xff\xfe"),
    "empty": Answer(body=""),
    "wrong encoding": Answer(headers={"Content-Encoding": "gzip"}),
    "wrong length": Answer(headers={"X-Filler": "x" * 100_000}),
}


def traces(key: str = KEY) -> list[str]:
    """The key and what would give it away."""
    encoded = base64.b64encode(key.encode()).decode()
    return [key, *key.split(".")[1:], encoded, encoded[4:-4]]


def assert_hidden(run: Run) -> None:
    """The key must not be in what a run has left behind."""
    text = run.stdout.decode() + run.stderr
    for trace in traces():
        assert trace not in text


def run_at(level: str, arguments: list[str], **environment: str) -> Run:
    """Run at a log level."""
    environment[PREFIX + "LOGLEVEL"] = level
    return run(arguments, environment=environment)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_answer_of_the_server_makes_the_key_appear(
    tap: Folder, api: StandIn, answer: Answer | None, level: str
) -> None:
    """Not on the first page, and not in the middle of a job."""
    api.add(
        Job("a", rows=make_events(3), page_size=2, script={"imports:1": [answer] * 9}),
        Job("b", rows=make_events(1), script={"imports": [answer] * 9}),
        Job("c", rows=make_events(1), total=5, script={"status": [answer] * 9}),
    )
    done = run_at(
        level,
        tap.arguments(
            job_ids=["a", "b", "c"],
            max_attempts=2,
            request_timeout=0.1,
            job_wait_timeout=3,
            unfinished_jobs="fail",
        ),
    )
    assert all(
        request.headers["Authorization"] == f"Basic {KEY}" for request in api.requests
    )
    assert_hidden(done)
    assert (" | DEBUG " in done.stderr) is (level == "DEBUG")


LONG_KEY = 'na1.~?V0/a2V5+d2l0aA==.&"0123456789abcdef0123456789abcdef'
"""A key in which every form differs, and which is longer than an example in a log."""
FORMS = forms_of(LONG_KEY)


def test_forms_of_the_key_differ_in_what_a_log_must_not_show() -> None:
    """A key as JSON or as a user's name begins like another of its forms."""
    beginnings = {form[:SHOWN] for form in FORMS.values()}
    assert len(beginnings) == len(FORMS) - 2


def answered(form: str) -> dict[str, Any]:
    return {"imports": [Answer(400, body={"code": "odd", "message": form})]}


PLACES: dict[str, Callable[[str], tuple[Job, dict[str, Any]]]] = {
    "timestamp": lambda form: (Job("a", rows=[{"timestamp": form}]), {}),
    "message": lambda form: (Job("a", script=answered(f"key {form} is odd")), {}),
    "cut message": lambda form: (Job("a", script=answered("x" * 170 + form)), {}),
    "job ID": lambda form: (Job("a"), {"job_ids": ["a", form]}),
    "jobs file": lambda form: (Job("a"), {"jobs_file": f"no/{form}"}),
    "name of a setting": lambda form: (Job("a"), {form: "x"}),
    "name of a map": lambda form: (Job("a"), {"stream_maps": {form: {}}}),
    "map": lambda form: (
        Job("a"),
        {"stream_maps": {"imported_events": {"x": f"'{form}' +"}}},
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_log_has_stars_for_the_key_in_any_form_at_any_place(
    tap: Folder,
    place: Callable[[str], tuple[Job, dict[str, Any]]],
    form: str,
) -> None:
    """Also where a text is cut in the middle of it."""
    job, settings = place(form)
    with StandIn(job, api_key=LONG_KEY) as api:
        tap.api = api
        done = run_at("DEBUG", tap.arguments(**{"job_ids": ["a"], **settings}))
    assert "***" in done.stderr


@pytest.mark.parametrize("form", ["{}", "Basic {}", " basic  {} \n"])
def test_log_keeps_what_is_around_the_key(tap: Folder, api: StandIn, form: str) -> None:
    """What comes before and after it in a line stays."""
    answer = Answer(400, body={"code": "odd", "message": f"before {KEY} after"})
    api.add(Job("a", script={"imports": [answer]}))
    done = tap.run(job_ids=["a"], api_key=form.format(KEY))
    assert "400 odd: before *** after" in done.errors[-1]


@pytest.mark.parametrize("form", ["Basic {}", " basic {} \n"])
def test_key_that_is_not_accepted_is_not_shown(
    tap: Folder, api: StandIn, form: str
) -> None:
    """Nor the one that would be."""
    api.add(Job("a", rows=make_events(1)))
    wrong = "na1.d3Jvbmctb25l.fedcba9876543210"
    done = run_at("DEBUG", tap.arguments(job_ids=["a"], api_key=form.format(wrong)))
    assert done.status == 1
    assert_hidden(done)
    for trace in traces(wrong):
        assert trace not in done.stdout.decode() + done.stderr


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("level", LEVELS)
def test_redirect_never_takes_the_key_to_another_host(
    tap: Folder, api: StandIn, status: int, level: str
) -> None:
    """The other host gets no request at all, and the message names `api_url`."""
    with StandIn(Job("a", rows=make_events(1))) as other:
        location = f"{other.url}/v2/events/batch/a/imports"
        answer = Answer(status=status, headers={"Location": location})
        api.add(Job("a", rows=make_events(1), script={"imports": [answer] * 9}))
        done = run_at(level, tap.arguments(job_ids=["a"]))
        assert not other.requests
    assert len(api.requests) == 1
    assert done.status == 1
    assert "`api_url`" in done.errors[-1]
    assert_hidden(done)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9", "https://127.0.0.1:9", "https://nowhere.invalid"]
)
def test_no_failure_to_connect_makes_the_key_appear(
    tap: Folder, url: str, level: str
) -> None:
    """Refused, no secure connection, no such name."""
    done = run_at(level, tap.arguments(job_ids=["a"], api_url=url, max_attempts=2))
    assert done.status == 1
    assert_hidden(done)


def test_server_without_tls_makes_no_key_appear(tap: Folder, api: StandIn) -> None:
    """The stand-in speaks plain HTTP only: the handshake fails before the key goes."""
    url = api.url.replace("http:", "https:")
    done = run_at("DEBUG", tap.arguments(job_ids=["a"], api_url=url, max_attempts=2))
    assert done.status == 1
    assert "no secure connection" in done.errors[-1]
    assert not [request for request in api.requests if request.endpoint]
    assert_hidden(done)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": [KEY]},
        {"api_key": {"key": KEY}},
        {"api_key": f"{KEY[:15]}\n{KEY[15:]}"},
        {"api_key": f"{KEY}\r\nX: y"},
        {"api_key": f"{KEY} {KEY}"},
        {"api_key": f"\x00{KEY}"},
        {"api_key": f"ü{KEY}"},
        {"api_kee": KEY},
        {"start_date": KEY},
        {"include_schema": KEY},
        {"job_wait_timeout": KEY},
        {"request_timeout": KEY},
        {"max_attempts": KEY},
        {"max_retry_wait": [KEY]},
        {"max_page_bytes": KEY},
        {"unfinished_jobs": KEY},
        {"missing_jobs": KEY},
        {"count_mismatch": KEY},
        {"user_agent": f"{KEY}\n"},
        {"api_url": KEY},
        {"api_url": f"https://{KEY}@api.fullstory.com"},
        {"api_url": f"http://api.fullstory.com/{KEY}"},
        {"job_ids": {"id": KEY}},
        {"job_ids": [[KEY]]},
        {"job_ids": f'["{KEY}'},
        {"job_ids": f"{KEY}\x00"},
        {"job_ids": []},
        {"jobs_file": [KEY]},
        {"stream_maps": KEY},
        {"stream_maps": [KEY]},
        {"stream_map_config": KEY},
        {"stream_map_config": [KEY]},
        {"faker_config": {"seed": {"a": KEY}}},
        {"flattening_enabled": KEY},
        {"flattening_max_depth": KEY},
        {"batch_config": KEY},
        {"batch_config": {"encoding": {"format": KEY, "compression": KEY}}},
        {"batch_config": {"storage": {"root": [KEY]}}},
    ],
)
def test_settings_that_cannot_be_used_do_not_make_the_key_appear(
    tap: Folder, settings: dict[str, Any], level: str
) -> None:
    """Even where it stands in the wrong place."""
    done = run_at(level, tap.arguments(**{"job_ids": ["a"], **settings}))
    assert done.status == 1
    assert_hidden(done)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "content", [f'{{"api_key": "{KEY}', f'{{"api_key": {KEY}}}', f'["{KEY}"]', KEY]
)
def test_broken_file_of_settings_is_not_quoted(
    tap: Folder, content: str, level: str
) -> None:
    """A decoder's message might hold what it stumbled over."""
    path = tap.write("broken.json", content)
    done = run_at(level, ["--config", str(path)])
    assert done.status == 1
    assert_hidden(done)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "arguments",
    [
        ["--about"],
        ["--about", "--format=json"],
        ["--about", "--format=markdown"],
        ["--discover"],
        ["--version"],
        ["--help"],
        ["--test"],
        ["--test=schema"],
    ],
    ids=" ".join,
)
def test_no_command_shows_the_key(
    tap: Folder, api: StandIn, arguments: list[str], level: str
) -> None:
    """With the settings in a file or in the environment, or in both."""
    api.add(Job("a", rows=make_events(2)))
    environment = {
        f"{PREFIX}API_KEY": KEY,
        f"{PREFIX}API_URL": api.url,
        f"{PREFIX}JOB_IDS": "a",
    }
    for line in (tap.arguments(*arguments, job_ids=["a"]), ["--config=ENV"], []):
        done = run_at(level, [*line, *arguments], **environment)
        assert_hidden(done)
        if line:
            assert done.status == 0


@pytest.mark.parametrize("level", LEVELS)
def test_settings_of_the_environment_are_not_shown(api: StandIn, level: str) -> None:
    """Nor faults in them."""
    api.add(Job("a", rows=make_events(1)))
    environment = {
        f"{PREFIX}API_KEY": f"Basic {KEY}",
        f"{PREFIX}API_URL": api.url,
        f"{PREFIX}JOB_IDS": "a",
        f"{PREFIX}STREAM_MAP_CONFIG": json.dumps({"key": KEY}),
    }
    done = run_at(level, ["--config=ENV"], **environment)
    assert done.status == 0
    assert_hidden(done)
    for name in ("MAX_ATTEMPTS", "STREAM_MAP_CONFIG", "BATCH_CONFIG", "API_URL"):
        done = run_at(level, ["--config=ENV"], **{**environment, PREFIX + name: KEY})
        assert done.status == 1
        assert_hidden(done)


def test_configuration_that_maps_may_use_is_not_shown(
    tap: Folder, api: StandIn
) -> None:
    """A salt for hashing is a secret too."""
    api.add(Job("a", rows=make_events(1)))
    done = run_at(
        "DEBUG",
        tap.arguments(
            job_ids=["a"],
            stream_map_config={"salt": KEY},
            stream_maps={"imported_events": {"hash": "md5(config['salt'] + name)"}},
        ),
    )
    assert done.status == 0
    assert "hash" in done.records()[0]
    assert_hidden(done)


def test_damaged_state_is_not_quoted(tap: Folder, api: StandIn) -> None:
    """Nor written out again."""
    api.add(Job("a", rows=make_events(1)))
    for state in (
        KEY,
        {"bookmarks": {"imported_events": {"completed_jobs": {"a": KEY}}}},
        {"bookmarks": {"imported_events": {"completed_jobs": KEY}}},
    ):
        done = run_at("DEBUG", tap.arguments(job_ids=["a"], state=state))
        assert done.status == 1
        assert_hidden(done)


def test_crash_does_not_make_the_key_appear(
    tap: Folder, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect's traceback is there for whoever mends it, without the key."""

    def crash(_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(streams, "is_canonical", crash)
    api.add(Job("a", rows=make_events(1)))
    done = run(tap.arguments(job_ids=["a"]), crash=RuntimeError)
    assert done.status == 1
    assert "a defect" in done.stderr
    assert_hidden(done)


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": [KEY], "job_ids": ["a"]},
        {"api_key": f"{KEY}\n{KEY}", "job_ids": ["a"]},
        {"api_key": KEY},
        {"api_key": KEY, "job_ids": ["a"], "api_url": f"http://{KEY}@evil.example"},
        {"api_key": KEY, "job_ids": ["a"], "unknown": KEY},
    ],
)
def test_no_exception_holds_the_key(config: dict[str, Any]) -> None:
    """For those who use the tap as a library."""
    with pytest.raises(ConfigValidationError) as caught:
        TapFullstoryImports(config=config)
    error = caught.value
    shown = f"{error!r} {error} {error.errors} {vars(error)}"
    shown += "".join(traceback.format_exception(error))
    for trace in traces():
        assert trace not in shown


def test_settings_do_not_show_the_key_when_they_are_printed() -> None:
    """As a debugger or a careless log line would."""
    tap = TapFullstoryImports(config={"api_key": KEY, "job_ids": ["a"]})
    assert KEY not in repr(tap.settings)
    assert tap.settings
    assert tap.settings.api_key == KEY
    logging.getLogger(__name__).debug("%s", tap.settings)


def test_key_goes_into_no_url(tap: Folder, api: StandIn) -> None:
    """URLs end up in logs of servers and proxies."""
    api.add(Job("a", rows=make_events(3), page_size=1, total=9))
    assert tap.run(job_ids=["a"], include_schema=True).status == 0
    assert len(api.requests) == 4
    for request in api.requests:
        assert KEY not in request.raw_path
        named = {name for name, text in request.headers.items() if KEY in text}
        assert named == {"Authorization"}


LOG_CONFIG = """
version: 1
disable_existing_loggers: false
formatters:
  full:
    format: "%(levelname)s %(name)s %(message)s %(args)s %(exc_info)s"
  json:
    (): singer_sdk.logging.StructuredFormatter
handlers:
  full:
    class: logging.StreamHandler
    formatter: full
    stream: ext://sys.stderr
  json:
    class: logging.StreamHandler
    formatter: json
    stream: ext://sys.stderr
loggers:
  urllib3:
    level: DEBUG
    handlers: [full]
root:
  level: DEBUG
  handlers: [full, json]
"""


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_way_of_logging_makes_the_key_appear(
    tap: Folder, api: StandIn, answer: Answer | None
) -> None:
    """Whatever the user's own configuration of the log shows of a line."""
    api.add(Job("a", rows=make_events(3), script={"imports": [answer] * 9}))
    path = tap.write("log.yml", LOG_CONFIG)
    done = run(
        tap.arguments(
            job_ids=["a"], max_attempts=2, request_timeout=0.1, job_wait_timeout=3
        ),
        environment={"SINGER_SDK_LOG_CONFIG": str(path)},
    )
    assert "DEBUG urllib3.connectionpool " in done.stderr
    assert '"level":"debug"' in done.stderr.replace(" ", "")
    assert_hidden(done)
