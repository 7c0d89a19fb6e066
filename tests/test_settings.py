"""The settings: their forms, bounds and defaults, from a file and the environment.

For a setting that can't be used, the run ends with exit code 1 and a sentence that
names the setting and never shows a value that may be a secret.
"""

from __future__ import annotations

import json
import os
import re
import resource
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import requests
from singer_sdk.exceptions import ConfigValidationError

from tap_fullstory_imports import addresses
from tests.harness import Run, rounds, run
from tests.invariants import PREFIX
from tests.stand_in import Answer, Job, StandIn, make_events
from tests.streams import SETTINGS, job_of

if TYPE_CHECKING:
    from tests.harness import Folder

STREAMS = tuple(f"imported_{kind}" for kind in SETTINGS)
KEY = "na1.c2VjcmV0.not-to-be-shown"
FILES = dict(zip(SETTINGS, ("jobs_file", "user_jobs_file"), strict=True))
DEFAULTS: dict[str, Any] = {
    "api_key": None,
    "job_ids": None,
    "jobs_file": None,
    "user_job_ids": None,
    "user_jobs_file": None,
    "api_url": "https://api.fullstory.com",
    "include_schema": False,
    "job_wait_timeout": 300,
    "unfinished_jobs": "defer",
    "missing_jobs": "fail",
    "count_mismatch": "fail",
    "unstorable_characters": "keep",
    "request_timeout": 60,
    "max_attempts": 8,
    "max_retry_wait": 300,
    "max_page_bytes": 268_435_456,
    "user_agent": f"tap-fullstory-imports/{version('tap-fullstory-imports')}",
}
UNUSABLE: dict[str, list[Any]] = {
    "api_key": [
        *(12, True, [KEY], {"value": KEY}, "   ", "Basic ", "basic"),
        *(f"{KEY[:9]}{char}{KEY[9:]}" for char in ("\n", "\r\n", " ")),
        *(f"{KEY}{char}" for char in "\x00ü"),
    ],
    "jobs_file": [1, ["jobs.txt"]],
    "api_url": [
        *(1, {"url": "https://api.fullstory.com"}, "http://api.fullstory.com"),
        *(f"https://user:{KEY}@api.fullstory.com", "api.fullstory.com", " "),
    ],
    "include_schema": ["maybe", 2, []],
    "job_wait_timeout": [-1, -0.5, "long", True, [1]],
    "unfinished_jobs": ["skip", "DEFER", True],
    "missing_jobs": ["warn", 0],
    "count_mismatch": ["skip", []],
    "unstorable_characters": ["drop"],
    "request_timeout": [0, -1, 3601, "soon"],
    "max_attempts": [0, 21, 1.5, "many", True],
    "max_retry_wait": [-1, {}],
    "concurrency": ["\ud800"],
    "max_page_bytes": [0, 0.5, "256 MiB"],
    "user_agent": [1, "two\nlines", "two\r\nX-Header: lines", "größe", " "],
    "stream_maps": [KEY],
    "stream_map_config": [KEY],
    "flattening_enabled": [KEY],
    "batch_config": [{"encoding": {"format": KEY}}],
}
UNUSABLE_TEXTS: dict[str, list[str]] = {
    "api_key": ["Basic", f"{KEY[:9]}\n{KEY[9:]}"],
    "include_schema": ["maybe"],
    "job_wait_timeout": ["-1", "nan", "5 s"],
    "unfinished_jobs": ["wait"],
    "missing_jobs": ["warn"],
    "count_mismatch": ["skip"],
    "unstorable_characters": ["drop"],
    "request_timeout": ["0", "nan", "inf"],
    "max_attempts": ["0", "21", "2.5"],
    "max_retry_wait": ["-0.1", "nan"],
    "max_page_bytes": ["-1"],
    "user_agent": ["two\nlines"],
    "job_ids": ["a,,b", "[broken"],
    "api_url": ["http://api.fullstory.com"],
}
USABLE: dict[str, list[Any]] = {
    "include_schema": [True, False, "true", "FALSE", "1", "0", "yes", " Off "],
    "job_wait_timeout": [0, 0.5, 300, "300", "0", "1.5", 86_400],
    "unfinished_jobs": ["defer", "fail"],
    "missing_jobs": ["fail", "skip"],
    "count_mismatch": ["fail", "warn"],
    "unstorable_characters": ["keep", "replace"],
    "request_timeout": [0.5, 60, "60", 3600],
    "max_attempts": [1, 8, 20, "20"],
    "max_retry_wait": [0, 0.5, 300, "300"],
    "max_page_bytes": [100_000, "100000", 10**12],
    "user_agent": ["mine/2", "Mine (a b; c)"],
}
UNUSABLE_URLS = [
    "http://api.fullstory.com",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://localhost@evil.example",
    "http://127.0.0.1:80@evil.example",
    "http://127.0.0.1@evil.example:8080",
    "http://evil.example#127.0.0.1",
    "http://evil.example?127.0.0.1",
    "http://evil.example\\@127.0.0.1",
    "http://127.0.0.1\\@evil.example",
    "http://127.0.0.1\\.evil.example",
    "http://127.0.0.1%2eevil.example",
    "http://evil.example%00127.0.0.1",
    "http://[::2]",
    "http://[::1].evil.example",
    "http://[::1]evil.example",
    "http://0.0.0.0",
    "http://10.0.0.1",
    "http://\uff11\uff12\uff17.0.0.1",
    "HTTP://api.fullstory.com",
    "ftp://127.0.0.1",
    "file:///etc/hosts",
    "api.fullstory.com",
    "//api.fullstory.com",
    "https://",
    "https:///v2",
    "https:api.fullstory.com",
    "https://api.fullstory.com:port",
    "https://api.fullstory.com:70000",
    "https://api.fullstory.com/?region=eu",
    "https://api.fullstory.com/#eu",
    "https://user@api.fullstory.com",
    f"https://user:{KEY}@api.fullstory.com",
    f"https://:{KEY}@api.fullstory.com",
    "https://api.fullstory.com\nHost: evil.example",
    "https://api.füllstory.com",
    "https://exa mple.com",
    "https://[::1",
    "https://.",
    "https://*.example.com",
    "https://a..b",
    "https://a-label-of-more-than-63-characters-which-no-name-in-the-system-may-have.example",
    " ",
]
URLS = {
    "https://api.fullstory.com": "https://api.fullstory.com",
    "https://api.eu1.fullstory.com/": "https://api.eu1.fullstory.com",
    " https://api.fullstory.com ": "https://api.fullstory.com",
    "HTTPS://api.fullstory.com": "https://api.fullstory.com",
    "https://proxy.example:8443//": "https://proxy.example:8443",
    "http://127.0.0.1:81": "http://127.0.0.1:81",
    "http://127.1.2.3": "http://127.1.2.3",
    "http://localhost:81/": "http://localhost:81",
    "http://LOCALHOST": "http://LOCALHOST",
    "http://[::1]:81": "http://[::1]:81",
    "http://[::1]": "http://[::1]",
}


def refusal(run: Run) -> str:
    """The sentence with which a run was refused."""
    assert run.status == 1
    assert run.stdout == b""
    assert KEY not in run.stderr
    assert KEY[9:] not in run.stderr
    assert run.errors
    return run.errors[0]


def from_environment(**settings: str) -> Run:
    """Run with settings in the environment."""
    return run(
        ["--config=ENV"],
        environment={PREFIX + name.upper(): text for name, text in settings.items()},
    )


def asked_job_ids(api: StandIn, kind: str = "events") -> list[str]:
    """The jobs that were asked for, in order."""
    asked = api.asked(endpoint="imports")
    return [request.job_id for request in asked if request.kind == kind]


def add_jobs(api: StandIn, *job_ids: str) -> None:
    """Put small jobs of both kinds into the stand-in."""
    for kind in SETTINGS:
        api.add(*(job_of(kind, job_id, 1) for job_id in job_ids))


# What the settings are


def about() -> dict[str, Any]:
    """The JSON schema of the settings, as ``--about`` prints it."""
    schema: dict[str, Any] = json.loads(run(["--about", "--format=json"]).stdout)[
        "settings"
    ]
    return schema


def test_each_setting_has_a_title_a_description_and_its_default() -> None:
    """And there are no others than these and the SDK's."""
    properties = about()["properties"]
    assert DEFAULTS.keys() <= properties.keys()
    for name, default in DEFAULTS.items():
        assert properties[name]["title"]
        assert properties[name]["description"].endswith(".")
        assert properties[name].get("default") == default, name
    assert about()["additionalProperties"] is False
    assert about()["required"] == ["api_key"]


def test_only_the_key_is_marked_as_a_secret() -> None:
    """So that Meltano and `--about` treat it as one."""
    properties = about()["properties"]
    assert [name for name in DEFAULTS if properties[name].get("secret")] == ["api_key"]
    assert properties["api_key"]["writeOnly"] is True


# Faults


@pytest.mark.parametrize("settings", rounds(UNUSABLE))
def test_unusable_settings_are_refused_by_their_names(
    tap: Folder, api: StandIn, settings: dict[str, Any]
) -> None:
    """In a sentence for each of them, before any request."""
    add_jobs(api, "a")
    done = tap.run(**{"job_ids": ["a"], **settings})
    refusal(done)
    for name, sentence in zip(sorted(settings), done.errors, strict=True):
        assert f"`{name}" in sentence
    assert not api.requests


@pytest.mark.parametrize("settings", rounds(UNUSABLE_TEXTS))
def test_unusable_settings_of_the_environment_are_refused_alike(
    api: StandIn, settings: dict[str, str]
) -> None:
    given = {"api_key": api.api_key, "api_url": api.url, "job_ids": "a"}
    done = from_environment(**{**given, **settings})
    refusal(done)
    for name, sentence in zip(sorted(settings), done.errors, strict=True):
        assert f"`{name}`" in sentence
    assert not api.requests


def test_unknown_settings_are_refused_by_their_names(tap: Folder) -> None:
    """Their values may be a key, and a hint names the nearest setting."""
    unknown = dict.fromkeys(("api_kei", "start_date", "token", "x" * 9), KEY)
    config = {"api_key": "x", "job_ids": "a", **unknown, "jobz": None, "maps": ""}
    done = run(["--config", str(tap.write("config.json", config))])
    assert refusal(done) == "There is no setting `api_kei`. Did you mean `api_key`?"
    names = sorted([*unknown, "jobz", "maps"])
    for name, sentence in zip(names, done.errors, strict=True):
        assert sentence.startswith(f"There is no setting `{name}`.")


def test_all_faults_are_reported_at_once(tap: Folder) -> None:
    """A user can correct them in one go."""
    run = tap.run(
        job_ids=["a", ""],
        max_attempts=0,
        request_timeout=0,
        missing_jobs="x",
        jobz=1,
        stream_maps="x",
    )
    assert run.errors == [
        "`job_ids`, entry 2 is empty.",
        "There is no setting `jobz`.",
        "`max_attempts` must be a whole number, at least 1, at most 20.",
        "`missing_jobs` must be `fail` or `skip`.",
        "`request_timeout` must be a number, greater than 0, at most 3600.",
        "`stream_maps` must be an object.",
    ]


def test_key_is_required(tap: Folder, api: StandIn) -> None:
    """In a file and in the environment."""
    assert "`api_key`" in refusal(tap.run(api_key=None, job_ids=["a"]))
    assert "`api_key`" in refusal(from_environment(job_ids="a", api_url=api.url))
    assert "`api_key`" in refusal(run([]))
    assert "`api_key`" in refusal(tap.run(api_key="", job_ids=["a"]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"job_ids": []},
        {"job_ids": "[]"},
        {"job_ids": "", "user_job_ids": [], "jobs_file": "", "user_jobs_file": ""},
    ],
)
def test_settings_without_a_job_are_refused(
    tap: Folder, settings: dict[str, Any]
) -> None:
    [sentence] = tap.run(**settings).errors
    assert sentence == (
        "There is no job to read: list the IDs of your import jobs of events in"
        " `job_ids` and those of users in `user_job_ids`, or in files that `jobs_file`"
        " and `user_jobs_file` name."
    )


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", f'{{"api_key": "{KEY}', f'{{"api_key": {KEY}}}', KEY),
        *(f'["{KEY}"]', "[1]", "null", "5", f'"{KEY}"', b"\xff\xfe"),
        pytest.param("[" * 100_000, id="nested deeply"),
        pytest.param('{"api_key":' * 10_000 + "1" + "}" * 10_000, id="deep objects"),
        pytest.param('{"a": NaN, "a": ' + "9" * 5_000 + "}", id="many digits"),
    ],
)
def test_broken_file_of_settings_is_refused_and_not_quoted(
    tap: Folder, content: str | bytes
) -> None:
    done = run(["--config", str(tap.write("broken.json", content))])
    # Python 3.14 reads deep objects. Then the key is of the wrong type.
    assert re.search("`--config`|`api_key` must be text", refusal(done))
    assert len(done.stderr) < 10_000


@pytest.mark.parametrize("path", ["/no/such/file", "/"])
def test_missing_file_of_settings_is_refused(path: str) -> None:
    """The sentence names the option and the path."""
    sentence = refusal(run(["--config", path]))
    assert "`--config`" in sentence
    assert path in sentence


# Values


@pytest.mark.parametrize("settings", rounds(USABLE))
def test_values_within_the_bounds_are_accepted(
    tap: Folder, api: StandIn, settings: dict[str, Any]
) -> None:
    """From a file; as text from the environment, too."""
    add_jobs(api, "a")
    assert tap.run(**{"job_ids": ["a"], **settings}).status == 0
    texts = {name: str(value) for name, value in settings.items()}
    given = {"api_key": api.api_key, "api_url": api.url, "job_ids": "a"}
    assert from_environment(**given, **texts).status == 0


@pytest.mark.parametrize("nothing", [None, ""])
def test_setting_that_nobody_has_set_takes_its_default(
    tap: Folder, api: StandIn, nothing: str | None
) -> None:
    """Meltano passes null or an empty text for those."""
    add_jobs(api, "a")
    config = {"api_key": api.api_key, "api_url": api.url, "job_ids": ["a"]}
    path = tap.write("config.json", {**dict.fromkeys(DEFAULTS, nothing), **config})
    done = run(["--config", str(path)])
    assert done.status == 0
    assert done.completed() == {"a": 1}
    assert api.requests[0].headers["User-Agent"] == DEFAULTS["user_agent"]


def test_settings_of_files_and_of_the_environment_are_merged(
    tap: Folder, api: StandIn
) -> None:
    """A key in the environment, the rest in a file, which may be more than one."""
    add_jobs(api, "a", "b")
    url = tap.write("url.json", {"api_url": api.url})
    jobs = tap.write("jobs.json", {"job_ids": ["a", "b"]})
    done = run(
        ["--config", str(url), "--config=ENV", "--config", str(jobs)],
        environment={PREFIX + "API_KEY": api.api_key},
    )
    assert done.status == 0
    assert done.completed() == {"a": 1, "b": 1}


def test_environment_is_read_only_if_asked_for(tap: Folder, api: StandIn) -> None:
    """A file alone is the whole truth."""
    add_jobs(api, "a")
    done = run(tap.arguments(job_ids=["a"]), environment={PREFIX + "JOB_IDS": "other"})
    assert done.completed() == {"a": 1}
    assert asked_job_ids(api) == ["a"]


def test_other_variables_of_the_environment_are_ignored(api: StandIn) -> None:
    """Meltano has variables of its own that begin in the same way."""
    add_jobs(api, "a")
    others = dict.fromkeys(("JOB_IDZ", "API_KEYS", "CONCURENCY", "_LOGLEVEL"), "x")
    settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": "a"}
    done = from_environment(**settings, **others)
    assert done.status == 0
    assert not done.warnings


def test_settings_of_the_sdk_come_from_the_environment_too(api: StandIn) -> None:
    """As JSON text."""
    add_jobs(api, "a")
    done = from_environment(
        api_key=api.api_key,
        api_url=api.url,
        job_ids="a",
        stream_maps='{"imported_events": {"name": "name.upper()"}}',
    )
    assert done.status == 0
    [record] = done.records()
    assert record["name"] == make_events(1)[0]["name"].upper()


# Job IDs


@pytest.mark.parametrize(
    ("value", "job_ids"),
    [
        (["a", "b"], ["a", "b"]),
        (["b", "a", "b"], ["b", "a"]),
        ([" a ", "\tb\n", "a"], ["a", "b"]),
        ([7, "8", 12345678901234567890], ["7", "8", "12345678901234567890"]),
        ('["b", "a", 7]', ["b", "a", "7"]),
        (' \n["a"] ', ["a"]),
        ("a", ["a"]),
        ("b,a", ["b", "a"]),
        (" b , a ,b", ["b", "a"]),
        ("7, 007", ["7", "007"]),
        ("a b,c", ["a b", "c"]),
        (7, ["7"]),
        ("abd123=", ["abd123="]),
    ],
)
def test_job_ids_come_as_a_list_as_json_or_with_commas(
    tap: Folder, api: StandIn, value: Any, job_ids: list[str]
) -> None:
    """Stripped, without duplicates, in their order; each is asked for once."""
    add_jobs(api, *job_ids)
    tap.streams = STREAMS
    done = tap.run(**dict.fromkeys(SETTINGS.values(), value))
    assert done.status == 0
    for kind, stream in zip(SETTINGS, STREAMS, strict=True):
        assert asked_job_ids(api, kind) == job_ids
        assert done.completed(stream) == dict.fromkeys(job_ids, 1)
    api.clear()
    text = value if isinstance(value, str) else json.dumps(value)
    settings = {"api_key": api.api_key, "api_url": api.url, "job_ids": text}
    done = from_environment(**settings, concurrency="1")
    assert done.status == 0
    assert asked_job_ids(api) == job_ids


@pytest.mark.parametrize(
    "value",
    [
        [""],
        ["a", " "],
        "a,",
        ",",
        "a,,b",
        ["."],
        [".."],
        "a,..",
        ["a\x00b"],
        ["a\nb"],
        ["a\tb"],
        ["a\x7f"],
        ["a\x85b"],
        ["\x1b[2J"],
        ["a\ud800"],
        [None],
        [True],
        [1.5],
        [["a"]],
        [{"id": "a"}],
        {"id": "a"},
        True,
        1.5,
        '["a"',
        "[a, b]",
        '[["a"]]',
        pytest.param("[" * 100_000, id="nested deeply"),
    ],
)
def test_job_ids_that_cannot_be_used_are_refused(
    tap: Folder, api: StandIn, value: Any
) -> None:
    """A sentence for each setting names it."""
    done = tap.run(**dict.fromkeys(SETTINGS.values(), value))
    refusal(done)
    for name, sentence in zip(SETTINGS.values(), done.errors, strict=True):
        assert f"`{name}`" in sentence
    assert not api.requests


@pytest.mark.parametrize("kind", SETTINGS)
def test_sentence_says_which_entry_is_wrong(tap: Folder, kind: str) -> None:
    """Among thousands it would be hard to find."""
    path = tap.write("jobs.txt", "a\n# comment\n..\n")
    wrong: dict[str, Any] = {SETTINGS[kind]: ["a", "b", "", "c"]}
    assert f"`{SETTINGS[kind]}`, entry 3" in refusal(tap.run(**wrong))
    wrong = {FILES[kind]: str(path)}
    assert f"`{FILES[kind]}`, line 3" in refusal(tap.run(**wrong))


# The jobs file


@pytest.mark.parametrize(
    ("content", "job_ids"),
    [
        ("a\nb", ["a", "b"]),
        ("a\nb\n", ["a", "b"]),
        ("\n\n a \n\t\nb\t\na\n", ["a", "b"]),
        ("# jobs of May\na\n  # b\n#c\nd", ["a", "d"]),
        ("a\r\nb\r\n\r\n# c\r\n", ["a", "b"]),
        ("\ufeffa\nb", ["a", "b"]),
        ("\ufeff# first\na", ["a"]),
        ('["a", "b", 7]', ["a", "b", "7"]),
        ('\ufeff\n[\r\n"a",\r\n"b"]\r\n', ["a", "b"]),
        ("a,b", ["a,b"]),
        ("ü 1\n", ["ü 1"]),
        ("007", ["007"]),
        ("a#b", ["a#b"]),
        ("a\u2028b", ["a\u2028b"]),
    ],
)
def test_jobs_file_has_lines_or_a_json_array(
    tap: Folder, api: StandIn, content: str, job_ids: list[str]
) -> None:
    """With comments, blank lines, any line ends and a byte order mark."""
    add_jobs(api, *job_ids)
    done = tap.run(jobs_file=str(tap.write("jobs.txt", content.encode())))
    assert done.status == 0
    assert asked_job_ids(api) == job_ids


@pytest.mark.parametrize("kind", SETTINGS)
def test_jobs_file_is_joined_with_the_list(
    tap: Folder, api: StandIn, kind: str
) -> None:
    """The list comes first, and duplicates are dropped over both."""
    add_jobs(api, "a", "b", "c")
    tap.streams = (f"imported_{kind}",)
    path = tap.write("jobs.txt", "c\na\n")
    given: dict[str, Any] = {SETTINGS[kind]: ["b", "a"], FILES[kind]: str(path)}
    done = tap.run(**given)
    assert done.status == 0
    assert asked_job_ids(api, kind) == ["b", "a", "c"]


def test_jobs_file_may_be_in_the_home_folder(
    tap: Folder, api: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell does not expand a path that a file holds."""
    add_jobs(api, "a")
    tap.write("jobs.txt", "a")
    monkeypatch.setenv("HOME", str(tap.path))
    monkeypatch.setenv("USERPROFILE", str(tap.path))
    assert tap.run(jobs_file="~/jobs.txt").status == 0


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfea\x00\n\x00",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"a\x00b\n",
        b"caf\xe9\n",
        b".\n",
        b"a\n..\n",
        b'["a"',
        b"[a]",
        b'["a", null]',
        b'[""]',
        pytest.param(b"[" * 100_000, id="nested deeply"),
        b"",
        b"\n# nothing but a comment\n",
        b"[]",
    ],
)
def test_jobs_file_that_cannot_be_used_is_refused(
    tap: Folder, api: StandIn, content: bytes
) -> None:
    path = tap.write("jobs.txt", content)
    assert "`jobs_file`" in refusal(tap.run(jobs_file=str(path)))
    assert not api.requests


@pytest.mark.parametrize("path", ["no/such/file", "/", "a\x00b", "~nobody-here/x"])
def test_jobs_file_that_cannot_be_read_is_refused(
    tap: Folder, api: StandIn, path: str
) -> None:
    """Also beside a list: half of the jobs would be missing without a word."""
    assert "`jobs_file`" in refusal(tap.run(job_ids=["a"], jobs_file=path))
    assert not api.requests


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX only")
@pytest.mark.parametrize("kind", ["device", "endless device", "pipe", "folder"])
def test_jobs_file_that_is_no_regular_file_is_refused(
    tap: Folder, api: StandIn, kind: str
) -> None:
    """Before it is opened: a pipe would wait for a writer, a device might not end."""
    pipe = tap.path / "pipe"
    os.mkfifo(pipe)
    path = {
        "device": "/dev/null",
        "endless device": "/dev/zero",
        "pipe": str(pipe),
        "folder": str(tap.path),
    }[kind]
    process = tap.start(jobs_file=path)
    if hasattr(resource, "prlimit"):  # what reads without end must not harm others
        limit = 2 * 1024**3
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
    try:
        sentence = refusal(process.collect(seconds=10))
    finally:
        process.kill()
        process.communicate()
    for text in ("`jobs_file`", path, "regular file"):
        assert text in sentence
    assert not api.requests


def test_jobs_file_of_more_than_64_mib_is_refused(tap: Folder, api: StandIn) -> None:
    """It is a wrong path: 100,000 IDs are a few megabytes."""
    path = tap.write("jobs.txt", "a\n#")
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    sentence = refusal(tap.run(jobs_file=str(path)))
    for text in ("`jobs_file`", str(path), "64 MiB"):
        assert text in sentence
    assert not api.requests


# Where the requests go


def requests_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> list[tuple[requests.PreparedRequest, dict[str, Any]]]:
    """Let no request out: keep what would have been sent, and how."""
    sent: list[tuple[requests.PreparedRequest, dict[str, Any]]] = []

    def send(
        _: object, request: requests.PreparedRequest, **how: Any
    ) -> requests.Response:
        sent.append((request, how))
        raise requests.ConnectionError

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    return sent


@pytest.mark.parametrize("url", UNUSABLE_URLS)
def test_url_that_is_no_safe_address_is_refused(url: str) -> None:
    """The error does not show a password that is in it."""
    with pytest.raises(ConfigValidationError) as caught:
        addresses.checked(url)
    [sentence] = caught.value.errors
    assert "`api_url`" in sentence
    assert KEY not in sentence


@pytest.mark.parametrize(("url", "base"), URLS.items())
def test_https_goes_anywhere_and_http_to_this_machine(url: str, base: str) -> None:
    """With or without a port and a slash at the end."""
    assert addresses.checked(url) == base


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/events/batch", "/gate/way/"])
def test_url_with_a_path_is_refused(path: str) -> None:
    """The sentence says that the tap adds the path itself."""
    with pytest.raises(ConfigValidationError) as caught:
        addresses.checked(f"https://api.fullstory.com{path}")
    for text in ("`api_url`", "without a path", "/v2/"):
        assert text in caught.value.errors[0]


@pytest.mark.parametrize("unset", [{}, {"api_url": None}, {"api_url": ""}])
def test_default_address_is_fullstorys_own(
    tap: Folder, monkeypatch: pytest.MonkeyPatch, unset: dict[str, str | None]
) -> None:
    """Over TLS, with its certificate verified."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    sent = requests_kept(monkeypatch)
    config = {"api_key": KEY, "job_ids": "a", "max_attempts": 1, **unset}
    run(["--config", str(tap.write("config.json", config))])
    [(request, how)] = sent
    assert request.url == "https://api.fullstory.com/v2/events/batch/a/imports"
    assert how["verify"] is True


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_sees_what_goes_to_this_machine(
    tap: Folder, api: StandIn, name: str
) -> None:
    """The key would travel to it in clear."""
    add_jobs(api, "a")
    with StandIn() as proxy:
        environment = {name: proxy.url, "NO_PROXY": "", "no_proxy": ""}
        done = run(tap.arguments(job_ids=["a"]), environment=environment)
        assert done.status == 0
        assert not proxy.requests
    assert asked_job_ids(api) == ["a"]


def test_a_proxy_and_certificates_of_the_environment_serve_https(
    tap: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As companies need it."""
    sent = requests_kept(monkeypatch)
    bundle = tap.write("bundle.pem", "")
    run(
        tap.arguments(
            job_ids=["a"], api_url="https://api.fullstory.com", max_attempts=1
        ),
        environment={
            "HTTPS_PROXY": "http://proxy.example:3128",
            "REQUESTS_CA_BUNDLE": str(bundle),
            "NO_PROXY": "",
            "no_proxy": "",
        },
    )
    [(_, how)] = sent
    assert how["proxies"]["https"] == "http://proxy.example:3128"
    assert how["verify"] == str(bundle)


@pytest.mark.parametrize("url", ["https://api.fullstory.com", None])
def test_a_netrc_file_does_not_replace_the_key(
    tap: Folder,
    api: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
) -> None:
    """Requests would put its password in the place of the key."""
    sent = requests_kept(monkeypatch)
    netrc = tap.write("netrc", "default login me password other\n")
    run(
        tap.arguments(job_ids=["a"], api_url=url or api.url, max_attempts=1),
        environment={"NETRC": str(netrc)},
    )
    [(request, _)] = sent
    assert request.headers["Authorization"] == f"Basic {api.api_key}"


# What is sent


@pytest.mark.parametrize(
    "form", ["{}", "Basic {}", "basic {}", "BASIC   {}", " Basic {} ", "{}\n", "\t{}"]
)
def test_key_is_sent_as_it_is_with_or_without_basic(
    tap: Folder, api: StandIn, form: str
) -> None:
    """People paste it in either form."""
    add_jobs(api, "a")
    assert tap.run(job_ids=["a"], api_key=form.format(api.api_key)).status == 0
    [request] = api.requests
    assert request.headers["Authorization"] == f"Basic {api.api_key}"


@pytest.mark.parametrize(
    ("settings", "user_agent"),
    [({}, DEFAULTS["user_agent"]), ({"user_agent": "mine/2 (x)"}, "mine/2 (x)")],
)
def test_user_agent_is_sent(
    tap: Folder, api: StandIn, settings: dict[str, Any], user_agent: str
) -> None:
    """To the pages and to the status."""
    api.add(Job("a", rows=make_events(3), page_size=2, total=5))
    assert tap.run(job_ids=["a"], **settings).status == 0
    assert [request.endpoint for request in api.requests][-1] == "status"
    assert {request.headers["User-Agent"] for request in api.requests} == {user_agent}


def test_include_schema_is_sent_when_a_page_is_tried_again(
    tap: Folder, api: StandIn
) -> None:
    """Or rows of one job would differ."""
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=500)]}
    api.add(Job("a", rows=make_events(3), page_size=2, script=script))
    assert tap.run(job_ids=["a"], include_schema=True).status == 0
    assert [request.query["include_schema"] for request in api.requests] == ["true"] * 3
