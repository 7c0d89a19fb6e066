"""The API key never appears in output: not on stdout, not on stderr, not in STATE.

In any failure, whatever the server says. The tests run at the log level that shows
most; the harness looks for the key in the log of every other run.
"""

from __future__ import annotations

import base64
import json
import traceback
from typing import Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports import streams
from tap_fullstory_imports.tap import TapFullstoryImports
from tests.harness import run
from tests.invariants import PREFIX, forms_of
from tests.stand_in import DEFAULT_API_KEY as KEY
from tests.stand_in import Answer, Job, StandIn, make_events

ECHO = json.dumps({"code": f"bad {KEY}", "message": f"the key Basic {KEY} is unknown"})
RAW = [
    *(f"HTTP/1.1 200 OK\r\nBasic {KEY}\r\n\r\n", f"HTTP/1.1 500 {KEY}\r\n\r\n"),
    *(f"HTTP/1.1 {KEY}\r\n\r\n", f"{KEY}\r\n"),
    f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n",
    f"HTTP/1.1 200 OK\r\nContent-Length: 1, {KEY}\r\n\r\n",
]
STATUSES = (200, 202, 302, 400, 401, 403, 404, 429, 500, 503)
ANSWERS = [
    None,
    *(Answer(status=status, body=ECHO) for status in STATUSES),
    *(Answer(raw=text.encode()) for text in RAW),
    *(
        Answer(body=json.dumps(body))
        for body in (
            *({"results": [], "total_records": KEY}, {"results": KEY}),
            {"next_page_token": KEY},
        )
    ),
    Answer(body=f'{{"results": [], {KEY}'),
    Answer(status=500, body=f"key {KEY} refused"),
    Answer(status=429, headers={"Retry-After": KEY}),
    Answer(status=503, headers={"Retry-After": "99999", "WWW-Authenticate": KEY}),
    Answer(headers={"Content-Encoding": f"gzip, {KEY}"}),
    Answer(status=500, headers={"Set-Cookie": f"a={KEY}; Path=/"}),
    Answer(status=302, headers={"Location": f"http://127.0.0.1:9/?key={KEY}"}),
    *(Answer(cut=20), Answer(drop=True), Answer(hang=True)),
]


def traces(key=KEY):
    encoded = base64.b64encode(key.encode()).decode()
    return [key, *key.split(".")[1:], encoded, encoded[4:-4]]


def assert_hidden(run):
    text = run.stdout.decode() + run.stderr
    assert not [trace for trace in traces() if trace in text]


def run_at_debug(arguments, **environment):
    environment[PREFIX + "LOGLEVEL"] = "DEBUG"
    done = run(arguments, environment=environment)
    assert_hidden(done)
    return done


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


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_answer_of_the_server_makes_the_key_appear(tap, api, answer):
    """With a logging configuration of the user's own, which shows all of a line."""
    api.add(
        Job("a", rows=make_events(3), page_size=2, script={"imports:1": [answer] * 9}),
        Job("b", rows=make_events(1), script={"imports": [answer] * 9}),
        Job("c", rows=make_events(1), total=5, script={"status": [answer] * 9}),
    )
    config = tap.write("log.yml", LOG_CONFIG)
    arguments = tap.arguments(
        job_ids=["a", "b", "c"],
        max_attempts=2,
        request_timeout=0.1,
        max_retry_wait=10,
        job_wait_timeout=3,
        unfinished_jobs="fail",
    )
    done = run_at_debug(arguments, SINGER_SDK_LOG_CONFIG=str(config))
    sent = {request.headers["Authorization"] for request in api.requests}
    assert sent == {f"Basic {KEY}"}
    assert "DEBUG urllib3.connectionpool " in done.stderr
    assert '"level":"debug"' in done.stderr.replace(" ", "")


LONG_KEY = 'na1.~?V0/a2V5+d2l0aA==.&"0123456789abcdef0123456789abcdef'
"""A key in which every form differs, and which is longer than an example in a log."""
SHOWN_FORMS = ("raw", "percent-encoded", "percent-encoded, lower case", "base64")
FORMS = {name: forms_of(LONG_KEY)[name] for name in SHOWN_FORMS}
FORMS["without its data centre"] = LONG_KEY.partition(".")[2]
NUMBERED = [*enumerate(FORMS.values())]


def refused(job_id, message):
    answer = Answer(400, body={"code": "odd", "message": message})
    return Job(job_id, script={"imports": [answer]})


PLACES: dict[str, tuple[list[Job], dict[str, Any]]] = {
    "timestamp": (
        [Job(f"{n}", rows=[{"timestamp": form}]) for n, form in NUMBERED],
        {},
    ),
    "message": (
        [refused(f"{n}", f"key {n} {form} is odd") for n, form in NUMBERED],
        {},
    ),
    "cut": ([refused(f"{n}", f"{n} {'x' * 168}{form}") for n, form in NUMBERED], {}),
    "job ID": ([refused(FORMS[name], name) for name in ("raw", "base64")], {}),
    "name of a setting": ([], dict.fromkeys(FORMS.values(), "x")),
    **{
        f"jobs file {name}": ([], {"jobs_file": f"no/{form}"})
        for name, form in FORMS.items()
    },
    "name of a map": ([], {"stream_maps": {FORMS["base64"]: {}}}),
    "map": ([], {"stream_maps": {"imported_events": {"x": f"'{LONG_KEY}' +"}}}),
}


@pytest.mark.parametrize(("jobs", "settings"), PLACES.values(), ids=PLACES)
def test_log_has_stars_for_the_key_in_any_form_at_any_place(tap, jobs, settings):
    job_ids = [job.job_id for job in jobs] or ["a"]
    with StandIn(*jobs, api_key=LONG_KEY) as api:
        tap.api = api
        done = run_at_debug(tap.arguments(**{"job_ids": job_ids, **settings}))
    assert done.stderr.count("***") >= max(len(jobs), len(settings))


@pytest.mark.parametrize("form", ["{}", "Basic {}", " basic  {} \n"])
def test_log_keeps_what_is_around_the_key(tap, api, form):
    answer = Answer(400, body={"code": "odd", "message": f"before {KEY} after"})
    api.add(Job("a", script={"imports": [answer]}))
    done = tap.run(job_ids=["a"], api_key=form.format(KEY))
    assert "400 odd: before *** after" in done.errors[-1]


def test_redirect_never_takes_the_key_to_another_host(tap, api):
    statuses = ("301", "302", "303", "307", "308")
    with StandIn(Job("a", rows=make_events(1))) as other:
        headers = {"Location": f"{other.url}/v2/events/batch/a/imports"}
        for status in statuses:
            answer = Answer(status=int(status), headers=headers)
            api.add(Job(status, script={"imports": [answer] * 9}))
        done = run_at_debug(tap.arguments(job_ids=statuses))
        assert not other.requests
    assert [request.job_id for request in api.requests] == [*statuses]
    assert done.summary["failed"] == len(statuses)


@pytest.mark.parametrize(
    "command",
    ["--about", "--about --format=json", "--discover", "--test", "--test=schema"],
)
def test_no_command_shows_the_key(tap, api, command):
    arguments = command.split()
    api.add(Job("a", rows=make_events(2)))
    environment = {
        f"{PREFIX}API_KEY": KEY,
        f"{PREFIX}API_URL": api.url,
        f"{PREFIX}JOB_IDS": "a",
    }
    for line in (tap.arguments(*arguments, job_ids=["a"]), ["--config=ENV"], []):
        done = run_at_debug([*line, *arguments], **environment)
        if line:
            assert done.status == 0


def test_settings_of_the_environment_are_not_shown(api):
    """Nor those that maps may use."""
    api.add(Job("a", rows=make_events(1)))
    maps = {"imported_events": {"hash": "md5(config['salt'] + name)"}}
    given = {
        "API_KEY": f"Basic {KEY}",
        "API_URL": api.url,
        "JOB_IDS": "a",
        "STREAM_MAP_CONFIG": json.dumps({"salt": KEY}),
        "STREAM_MAPS": json.dumps(maps),
    }
    environment = {PREFIX + name: text for name, text in given.items()}
    done = run_at_debug(["--config=ENV"], **environment)
    assert "hash" in done.records()[0]
    names = ("MAX_ATTEMPTS", "STREAM_MAP_CONFIG", "BATCH_CONFIG", "API_URL")
    wrong = {PREFIX + name: KEY for name in names}
    done = run_at_debug(["--config=ENV"], **{**environment, **wrong})
    assert len(done.errors) == len(wrong)


def test_damaged_state_is_not_quoted(tap, api):
    api.add(Job("a", rows=make_events(1)))
    for state in (
        KEY,
        {"bookmarks": {"imported_events": {"completed_jobs": [{"a": KEY}]}}},
        {"bookmarks": {"imported_events": {"completed_jobs": KEY}}},
    ):
        done = run_at_debug(tap.arguments(job_ids=["a"], state=state))
        assert done.status == 1


def test_crash_does_not_make_the_key_appear(tap, api, monkeypatch):
    def crash(_):
        raise RuntimeError(f"a defect, {KEY}")

    monkeypatch.setattr(streams, "is_canonical", crash)
    api.add(Job("a", rows=make_events(1)))
    done = run(tap.arguments(job_ids=["a"]), crash=RuntimeError)
    assert done.status == 1
    assert "RuntimeError: a defect, ***" in done.stderr
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
def test_no_exception_holds_the_key(config):
    with pytest.raises(ConfigValidationError) as caught:
        TapFullstoryImports(config=config)
    error = caught.value
    shown = f"{error!r} {error} {error.errors} {vars(error)}"
    shown += "".join(traceback.format_exception(error))
    assert not [trace for trace in traces() if trace in shown]
    tap = TapFullstoryImports(config={"api_key": KEY, "job_ids": ["a"]})
    assert KEY not in repr(tap.settings)


def test_key_goes_into_no_url(tap, api):
    api.add(Job("a", rows=make_events(3), page_size=1, total=9))
    assert tap.run(job_ids=["a"], include_schema=True).status == 0
    assert len(api.requests) == 4
    for request in api.requests:
        assert KEY not in request.raw_path
        named = {name for name, text in request.headers.items() if KEY in text}
        assert named == {"Authorization"}
