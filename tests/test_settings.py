"""The settings: their forms, bounds and defaults, from files and the environment.

For a setting that can't be used, the run ends with exit code 1 and a sentence that
names the setting and never shows a value, because the value may be a secret.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import pytest
import requests

from tap_fullstory_imports.settings.declaration import SCHEMA
from tap_fullstory_imports.settings.settings import Settings
from tests.harness import run
from tests.invariants import PREFIX
from tests.stand_in import Answer, Job, StandIn, make_events
from tests.streams import job_of

KEY = "na1.c2VjcmV0.not-to-be-shown"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
AGENT = f"tap-fullstory-imports/{version('tap-fullstory-imports')}"
DEFAULTS = {
    "api_url": "https://api.fullstory.com",
    "include_schema": False,
    "job_wait_timeout": 300,
    "unfinished_jobs": "defer",
    "missing_jobs": "fail",
    "count_mismatch": "fail",
    "request_timeout": 60,
    "max_attempts": 8,
    "max_retry_wait": 300,
    "max_page_bytes": 268_435_456,
    "concurrency": 4,
    "user_agent": AGENT,
}

# Values that are taken, and values with the sentence that refuses them
TAKEN: dict[str, list[Any]] = {
    "include_schema": [True, False, "true", "FALSE", "1", "0", "yes", " Off "],
    "job_wait_timeout": [0, 0.5, 300, "300", "0", "1.5", 86_400],
    "unfinished_jobs": ["defer", "fail"],
    "missing_jobs": ["fail", "skip"],
    "count_mismatch": ["fail", "warn"],
    "request_timeout": [0.5, 60, "60", 3600],
    "max_attempts": [1, 8, 20, "20", 8.0],
    "max_retry_wait": [0, 0.5, 300, "300"],
    "max_page_bytes": [100_000, "100000", 10**12],
    "shard": ["1/1", "000000002/2"],
    "user_agent": ["mine/2", "Mine (a b; c)"],
}
ODD_KEY = (
    "`api_key` must be the key alone, without spaces, line breaks, and quotes around"
    " it. Copy it again."
)
URL = (
    "`api_url` must be an address such as https://api.fullstory.com, without a user"
    " name, a query, or a path such as /v2/events."
)
HTTPS = "`api_url` must begin with https://, or the API key would travel in clear."
PART = "`shard` must name one of its parts, from `1/8` to `8/8` for eight of them."
TYPE = "`{}` is not of type '{}', 'null'."
LOW, HIGH = (
    "`{}` is less than the minimum of {}.",
    "`{}` is greater than the maximum of {}.",
)
NO_JSON = "`job_ids` looks like a JSON array but is not valid JSON: "
NO_LIST = "`job_ids` must be a list of job IDs, or text with commas or line breaks"
NO_ID = "`job_ids`, entry {}: a job ID must be text that is not empty, `.` or `..`."
LONG_ID = "`job_ids`, entry 1: a job ID can't have more than 1,000 characters; this"
ODD_ID = "`job_ids`, entry 2: a job ID can't have control characters or invisible"
ODD = [*range(32), *range(127, 160), 0xAD, 0x200B, 0x200D, 0x202E, 0x2060, 0xFEFF]
QUOTED = [f'"{KEY}"', f"'{KEY}'", f"“{KEY}”", f'Basic "{KEY}"', f'{KEY}"']
REFUSED: dict[str, list[Any]] = {
    "`api_key` is not of type 'string'.": [12, True, [KEY], {"value": KEY}],
    ODD_KEY: [
        *("   ", "Basic ", "basic", *QUOTED),
        *(f"{KEY[:9]}{x}{KEY[9:]}" for x in ("\n", "\r\n", " ", "\0", "ü")),
    ],
    TYPE.format("jobs_file", "string"): [1, ["jobs.txt"]],
    TYPE.format("user_jobs_file", "string"): [{}],
    TYPE.format("api_url", "string"): [1, {"url": "https://api.fullstory.com"}],
    HTTPS: [
        *("http://api.fullstory.com", "HTTP://api.fullstory.com", "http://10.0.0.1"),
        *("http://127.0.0.1.evil.example", "http://localhost.evil.example"),
        *("http://[::2]", "http://0.0.0.0"),
    ],
    URL: [
        "https://api.fullstory.com:65536",
        *(
            f"https://user:{KEY}@api.fullstory.com",
            "api.fullstory.com",
            " ",
            "https://",
        ),
        *("http://localhost@evil.example", "http://127.0.0.1:80@evil.example"),
        *("http://127.0.0.1@evil.example:8080", "http://evil.example#127.0.0.1"),
        *("http://evil.example?127.0.0.1", "http://evil.example\\@127.0.0.1"),
        *("http://127.0.0.1\\@evil.example", "http://127.0.0.1\\.evil.example"),
        *("http://127.0.0.1%2eevil.example", "http://evil.example%00127.0.0.1"),
        *("http://[::1].evil.example", "http://[::1]evil.example", "https://[::1"),
        *("http://\uff11\uff12\uff17.0.0.1", "http://local\u017fhost", "https://a..b"),
        *("ftp://127.0.0.1", "file:///etc/hosts", "//api.fullstory.com", "https://."),
        *("https:///v2", "https:api.fullstory.com", "https://api.fullstory.com:port"),
        *("https://api.fullstory.com:70000", "https://api.fullstory.com/?region=eu"),
        *("https://api.fullstory.com/#eu", "https://user@api.fullstory.com"),
        "https://api.fullstory.com\nHost: evil.example",
        *("https://api.füllstory.com", "https://exa mple.com", "https://*.example.com"),
        *(f"https://{'a' * 64}.example", "https://api.fullstory.com/v2"),
    ],
    TYPE.format("include_schema", "boolean"): ["maybe", 2, [], "2"],
    LOW.format("job_wait_timeout", 0): [-1, -0.5, "-1"],
    TYPE.format("job_wait_timeout", "number"): [
        *("long", True, [1], "nan", "5 s", float("nan"), "\ud800"),
    ],
    "`unfinished_jobs` is not one of ['defer', 'fail'].": ["skip", "DEFER", True],
    "`missing_jobs` is not one of ['fail', 'skip'].": ["warn", 0],
    "`count_mismatch` is not one of ['fail', 'warn'].": ["skip", []],
    "`request_timeout` is less than or equal to the minimum of 0.": [0, -1, "0"],
    HIGH.format("request_timeout", 3600): [3601, "3600.5"],
    TYPE.format("request_timeout", "number"): ["soon", "inf", float("inf")],
    LOW.format("max_attempts", 1): [0, "-1"],
    HIGH.format("max_attempts", 20): [21],
    TYPE.format("max_attempts", "integer"): [1.5, "many", True, "2.5", "9" * 5_000],
    LOW.format("max_retry_wait", 0): [-1, "-0.1"],
    TYPE.format("max_retry_wait", "number"): [{}],
    LOW.format("max_page_bytes", 1): [0, "-1"],
    TYPE.format("max_page_bytes", "integer"): [1.5, "256 MiB"],
    TYPE.format("concurrency", "integer"): ["\ud800"],
    HIGH.format("concurrency", 32): [33],
    TYPE.format("shard", "string"): [1],
    PART: ["0/8", "9/8", "1/0", "1", "a/b", "-1/2", "1/2/3", "1/2\n", "\u0661/2"],
    TYPE.format("user_agent", "string"): [1],
    "`user_agent` must be printable ASCII text on one line.": [
        *("two\nlines", "two\r\nX-Header: lines", "größe", " "),
    ],
    NO_LIST: [{"id": "a"}, True, 1.5],
    NO_JSON: ['["a"', "[a, b]", "[" * 100_000],
    NO_ID.format(1): [
        *([""], ["."], [" .. "], ["\u00a0"], ","),
        *([None], [True], [1.5], [["a"]], '[["a"]]'),
    ],
    NO_ID.format(2): [["a", " "], "a,", "a,,b", "a,.."],
    LONG_ID: [["ü" * length] for length in (1_001, 100_000)],
    ODD_ID: [["a", f"a{chr(code)}b"] for code in [*ODD, 0xD800]],
    NO_ID.format(2).replace("job", "user_job", 1): ["a,.."],
    TYPE.format("stream_maps", "object"): [KEY],
    TYPE.format("stream_map_config", "object"): [KEY],
    TYPE.format("flattening_enabled", "boolean"): [KEY],
    TYPE.format("batch_config", "object"): [KEY],
    TYPE.format("batch_config.encoding", "object"): [{"encoding": KEY}],
    "There is no setting `unstorable_characters`.": ["keep", "replace"],
    "There is no setting `api_kei`. Did you mean `api_key`?": [KEY, None],
}
JOB_LISTS: list[tuple[Any, list[str]]] = [
    (["b", "a", "b"], ["b", "a"]),
    ([" a ", "\tb\n", "a"], ["a", "b"]),
    ([7, "8", 12345678901234567890], ["7", "8", "12345678901234567890"]),
    (7, ["7"]),
    ('["b", "a", 7]', ["b", "a", "7"]),
    (' \n["a"] ', ["a"]),
    (" b , a ,b", ["b", "a"]),
    ("7, 007", ["7", "007"]),
    ("a b,c", ["a b", "c"]),
    ("a\nb\n", ["a", "b"]),  # a block of YAML
    ("\n a,\n  b\r\n\nc, d\n", ["a", "b", "c", "d"]),
]
URLS = {
    "https://api.eu1.fullstory.com/": "https://api.eu1.fullstory.com",
    " https://api.fullstory.com ": "https://api.fullstory.com",
    "HTTPS://api.fullstory.com": "https://api.fullstory.com",
    "https://proxy.example:65535": "https://proxy.example:65535",
    "https://proxy.example:8443//": "https://proxy.example:8443",
    "http://localhost:81/": "http://localhost:81",
    **{url: url for url in ("http://127.1.2.3", "http://LOCALHOST", "http://[::1]:81")},
}
NO_JOB = (
    "There is no job to read. List the IDs of your import jobs of events in `job_ids`"
    " and those of users in `user_job_ids`, or in files that `jobs_file` and"
    " `user_jobs_file` name."
)


def rounds():
    """As few runs as possible: the nth value and sentence of each setting together."""
    columns: dict[str, list[Any]] = {}
    for sentence, values in REFUSED.items():
        name = sentence.split("`")[1].partition(".")[0]
        columns.setdefault(name, []).extend((value, sentence) for value in values)
    return [
        {name: column[number] for name, column in columns.items() if column[number:]}
        for number in range(max(map(len, columns.values())))
    ]


def from_environment(**settings):
    texts = {PREFIX + name.upper(): str(text) for name, text in settings.items()}
    return run(["--config=ENV"], environment=texts)


def refusal(done):
    """The sentence with which a run was refused."""
    assert done.status == 1
    assert done.stdout == b""
    assert KEY[:9] not in done.stderr
    assert KEY[9:] not in done.stderr
    return done.errors[0]


def settings_of(**given):
    return Settings.from_config({"api_key": "x", "job_ids": "a", **given})


@pytest.mark.parametrize("given", rounds())
def test_refused_values_give_all_their_sentences_at_once(tap, api, given):
    """Those of a file; and those of the environment, which are texts."""
    config = {"api_key": api.api_key, "api_url": api.url, "job_ids": ["a"]}
    values = {name: value for name, (value, _) in given.items()}
    path = tap.write("config.json", {**config, **values})
    texts = {
        name: value
        for name, value in values.items()
        if isinstance(value, str) and name in SCHEMA["properties"]
        if value.isprintable() and len(value) < 100_000
    }
    runs = {run(["--config", str(path)]): values}
    if texts:
        runs[from_environment(**{**config, "job_ids": "a", **texts})] = texts
    for done, wrong in runs.items():
        refusal(done)
        pairs = zip(done.errors, sorted(wrong), strict=True)
        assert all(error.startswith(given[name][1]) for error, name in pairs)
    assert not api.requests


@pytest.mark.parametrize("name", TAKEN)
def test_values_within_the_bounds_get_the_type_of_their_setting(name):
    kind = SCHEMA["properties"][name]["type"][0]
    types = {"number": float, "integer": int, "boolean": bool, "string": str}
    texts = [str(value) for value in TAKEN[name] if value != 8.0 or kind == "number"]
    for value in [*TAKEN[name], *texts]:
        assert type(getattr(settings_of(**{name: value}), name)) is types[kind]


@pytest.mark.parametrize(("value", "ids"), JOB_LISTS, ids=ascii)
def test_job_lists_are_stripped_and_have_no_duplicates(value, ids):
    given = settings_of(job_ids=value, user_job_ids="other")
    assert [*given.jobs_of("events")] == ids
    assert given.jobs_of("users") == ("other",)


@pytest.mark.parametrize(("url", "result"), URLS.items())
def test_api_url_is_https_or_loopback(url, result):
    assert settings_of(api_url=url).api_url == result


@pytest.mark.parametrize("nothing", [None, ""])
def test_unset_settings_take_their_defaults(nothing):
    """Meltano passes null or an empty text for those."""
    unset = settings_of(
        **dict.fromkeys(SCHEMA["properties"].keys() - {"api_key", "job_ids"}, nothing)
    )
    assert {name: getattr(unset, name) for name in DEFAULTS} == DEFAULTS
    assert KEY not in repr(settings_of(api_key=KEY))
    with pytest.raises(AttributeError):
        unset.api_key = "frozen"


def test_about_has_a_title_a_description_and_a_default_for_each_setting():
    about = json.loads(run(["--about", "--format=json"]).stdout)["settings"]
    properties = about["properties"]
    for name in SCHEMA["properties"]:
        assert properties[name]["title"]
        assert properties[name]["description"].endswith(".")
        assert properties[name].get("default") == DEFAULTS.get(name), name
    assert about["additionalProperties"] is False
    assert about["required"] == ["api_key"]
    assert [
        name for name in SCHEMA["properties"] if properties[name].get("secret")
    ] == ["api_key"]
    assert properties["api_key"]["writeOnly"] is True


# What is missing


def test_missing_key_is_refused(tap, api):
    for done in (
        tap.run(api_key=None, job_ids=["a"]),
        tap.run(api_key="", job_ids=["a"]),
        from_environment(job_ids="a", api_url=api.url),
        run([]),
    ):
        assert refusal(done).startswith("`api_key` is missing: Fullstory API key")


@pytest.mark.parametrize(
    "settings", [{}, {"job_ids": []}, {"job_ids": "[]"}, {"job_ids": "", "shard": None}]
)
def test_no_job_is_refused(tap, settings):
    assert tap.run(**settings).errors == [NO_JOB]


def test_environment_without_config_env_is_named(tap):
    """The key, or the jobs, that nobody reads."""
    environment = {PREFIX + "API_KEY": KEY, PREFIX + "USER_JOB_IDS": "a"}
    end = " The tap reads `{}` only with `--config=ENV`."
    sentence = refusal(run([], environment=environment))
    assert sentence.endswith(end.format(PREFIX + "API_KEY"))
    done = run(tap.arguments(), environment=environment)
    assert done.errors == [NO_JOB + end.format(PREFIX + "USER_JOB_IDS")]


@pytest.mark.parametrize("name", BUNDLES)
def test_missing_certificates_are_refused_with_variable_and_path(
    tap, api, monkeypatch, name
):
    """At the start, beside other faults, in place of minutes of retries."""
    for one in BUNDLES:
        monkeypatch.delenv(one, raising=False)
    environment = {name: "/no/such.pem"}
    done = run(tap.arguments(job_ids=["a"], max_attempts=0), environment=environment)
    assert done.errors[0] == (
        f"The environment variable `{name}` names /no/such.pem, but there is no such"
        " file. Correct the path, or unset the variable."
    )
    assert len(done.errors) == 2
    assert not api.requests


# Files and the environment


def test_settings_of_files_and_of_the_environment_are_merged(tap, api):
    """Text of the SDK's settings is JSON; unknown and empty variables are ignored."""
    api.add(Job("a", rows=make_events(1)), Job("b", rows=make_events(1)))
    url = tap.write("url.json", {"api_url": api.url})
    jobs = tap.write("jobs.json", {"job_ids": ["a", "b"]})
    others = dict.fromkeys(("JOB_IDZ", "API_KEYS", "CONCURENCY", "_LOGLEVEL"), "x")
    maps = '{"imported_events": {"name": "name.upper()"}}'
    given = {**others, "API_KEY": api.api_key, "STREAM_MAPS": maps, "SHARD": ""}
    done = run(
        ["--config", str(url), "--config=ENV", "--config", str(jobs)],
        environment={PREFIX + name: text for name, text in given.items()},
    )
    assert done.status == 0
    assert {*done.completed()} == {"a", "b"}
    assert done.records()[0]["name"] == make_events(1)[0]["name"].upper()
    assert not done.warnings


def test_environment_is_read_only_if_asked_for(tap, api):
    api.add(job_of("events", "a", 1))
    done = run(tap.arguments(job_ids=["a"]), environment={PREFIX + "JOB_IDS": "other"})
    assert {*done.completed()} == {"a"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((text, "is not JSON") for text in ("", "{", f'{{"api_key": "{KEY}', KEY)),
        *(
            (text, "is not a JSON object.")
            for text in (f'["{KEY}"]', "[1]", "null", "5")
        ),
        (b"\xff\xfe", "is not a text file in UTF-8."),
        pytest.param("[" * 100_000, "nested too deeply", id="deep lists"),
        pytest.param('{"a":' * 500 + "1" + "}" * 500, "nested too deeply", id="deep"),
        pytest.param('{"a": ' + "9" * 5_000 + "}", "is not JSON", id="many digits"),
    ],
)
def test_broken_file_of_settings_is_refused_and_not_quoted(tap, content, words):
    path = tap.write("broken.json", content)
    sentence = refusal(run(["--config", str(path)]))
    assert sentence.startswith(f"`--config`: {path} ")
    assert words in sentence


@pytest.mark.parametrize("path", ["/no/such/file", "/"])
def test_file_of_settings_that_cannot_be_read_is_refused(path):
    sentence = refusal(run(["--config", path]))
    assert sentence.startswith(f"`--config`: {path} can't be read: ")


@pytest.mark.parametrize("before", ["", " ", "\n"])
def test_settings_on_the_command_line_are_refused_and_not_shown(before):
    sentence = refusal(run(["--config", f'{before}{{"api_key": "{KEY}"}}']))
    assert sentence == "`--config` takes the path of a file. Put the settings into one."


# What is sent


@pytest.mark.parametrize(
    "form", ["{}", "Basic {}", "basic {}", "BASIC   {}", " Basic {} ", "{}\n", "\t{}"]
)
def test_key_is_sent_as_it_is_with_or_without_basic(tap, api, form):
    api.add(job_of("events", "a", 1))
    assert tap.run(job_ids=["a"], api_key=form.format(api.api_key)).status == 0
    assert api.requests[0].headers["Authorization"] == f"Basic {api.api_key}"


def test_user_agent_and_include_schema_are_sent_with_each_request(tap, api):
    """To the status too, and when a page is tried again."""
    script: dict[str, list[Answer | None]] = {"imports:1": [Answer(status=500)]}
    api.add(Job("a", rows=make_events(3), page_size=2, total=5, script=script))
    assert tap.run(job_ids=["a"], include_schema=True, user_agent="me/2").status == 0
    assert {request.headers["User-Agent"] for request in api.requests} == {"me/2"}
    pages = api.asked(endpoint="imports")
    assert {request.query["include_schema"] for request in pages} == {"true"}
    assert [request.endpoint for request in api.requests][-1] == "status"


@pytest.fixture
def sent(monkeypatch):
    kept: list[Any] = []

    def send(_, request, **how):
        kept.append((request, how))
        raise requests.ConnectionError

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    for one in BUNDLES:
        monkeypatch.delenv(one, raising=False)
    return kept


@pytest.mark.parametrize("url", [None, ""])
def test_default_address_is_fullstorys_own_over_verified_tls(tap, sent, url):
    config = {"api_key": KEY, "job_ids": "a", "max_attempts": 1, "api_url": url}
    run(["--config", str(tap.write("config.json", config))])
    [(request, how)] = sent
    assert request.url == "https://api.fullstory.com/v2/events/batch/a"
    assert how["verify"] is True


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_sees_what_goes_to_this_machine(tap, api, name):
    """The key would travel to it in clear."""
    api.add(job_of("events", "a", 1))
    with StandIn() as proxy:
        environment = {name: proxy.url, "NO_PROXY": "", "no_proxy": ""}
        assert run(tap.arguments(job_ids=["a"]), environment=environment).status == 0
        assert not proxy.requests


@pytest.mark.parametrize("url", ["https://api.fullstory.com", None])
def test_a_netrc_file_does_not_replace_the_key(tap, api, sent, url):
    """Requests would put its password in the place of the key."""
    netrc = tap.write("netrc", "default login me password other\n")
    line = tap.arguments(job_ids=["a"], api_url=url or api.url, max_attempts=1)
    run(line, environment={"NETRC": str(netrc)})
    [(request, _)] = sent
    assert request.headers["Authorization"] == f"Basic {api.api_key}"
