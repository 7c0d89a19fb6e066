"""The key leaves by TLS only, to the server whose certificate is right.

The address is Fullstory's own: a proxy on this machine leads it to the stand-in.
"""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from tests.harness import run
from tests.invariants import PREFIX
from tests.stand_in import DEFAULT_API_KEY as KEY
from tests.stand_in import Job, StandIn, make_events

HOST = "api.fullstory.com"
# Server and proxy stop before TLS has said goodbye: sockets stay open for a while.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:SOCKS"),
]
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class Proxy:
    def __init__(self, target, answer=b""):
        self._target, self._answer = urlsplit(target), answer
        self.seen = bytearray()

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client):
        with suppress(OSError), closing(client):
            head = bytearray()
            while not head.endswith(b"\r\n\r\n"):
                if not (byte := client.recv(1)):
                    return
                head += byte
            self.seen += head
            if self._answer:
                client.sendall(self._answer)
                return
            address = (self._target.hostname, self._target.port)
            with socket.create_connection(address) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                pump = threading.Thread(
                    target=_pump, args=(server, client), daemon=True
                )
                pump.start()
                while data := client.recv(65_536):
                    self.seen += data
                    server.sendall(data)


def _pump(source, to):
    with suppress(OSError):
        while data := source.recv(65_536):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


@pytest.fixture(autouse=True)
def collected():
    yield
    gc.collect()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def serving(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return StandIn(Job("a", rows=make_events(3), page_size=1), tls=context)


def run_by(proxy, tap, **environment):
    given = {
        PREFIX + "LOGLEVEL": "DEBUG",
        **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), ""),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
        **dict.fromkeys(("HTTPS_PROXY", "https_proxy") if proxy else (), proxy),
    }
    line = tap.arguments(
        job_ids=["a"],
        api_url=f"https://{HOST}",
        max_attempts=2,
    )
    return run(line, environment={**given, **environment})


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_proxy_sees_neither_the_key_nor_the_rows(tap, authority, bundle, variable):
    """Only whom to connect to; and a .netrc file does not replace the key."""
    netrc = str(tap.write("netrc", f"machine {HOST} login me password other\n"))
    with serving(authority.issue_cert(HOST)) as api, Proxy(api.url) as proxy:
        done = run_by(proxy.url, tap, **{"NETRC": netrc, variable: bundle})
        head, _, rest = bytes(proxy.seen).partition(b"\r\n\r\n")
        keys = [one.headers["Authorization"] for one in api.requests]
    assert done.status == 0, done.stderr
    assert len(done.records()) == 3
    assert head.startswith(b"CONNECT api.fullstory.com:443 ")
    assert b"uthorization" not in head
    assert rest[:2] == b"\x16\x03", "a TLS handshake"
    assert KEY.encode() not in proxy.seen
    assert keys == [f"Basic {KEY}"] * 3


NO_TRUST: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "a stranger's": ({}, {}),
    "another host's": ({"host": "api.example.com"}, {"REQUESTS_CA_BUNDLE": "bundle"}),
    "an expired one": ({"not_after": YESTERDAY}, {"REQUESTS_CA_BUNDLE": "bundle"}),
    "a stranger's, switched off": (
        {},
        {"PYTHONHTTPSVERIFY": "0", "TAP_FULLSTORY_IMPORTS_VERIFY": "false"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("how", "environment"), NO_TRUST.values(), ids=NO_TRUST)
def test_key_is_not_sent_to_a_server_with_a_wrong_certificate(
    tap, authority, bundle, how, environment
):
    """Not even a request line."""
    options = {"host": HOST, **how}
    certificate = authority.issue_cert(options.pop("host"), **options)
    given = {name: text.replace("bundle", bundle) for name, text in environment.items()}
    with serving(certificate) as api, Proxy(api.url) as proxy:
        done = run_by(proxy.url, tap, **given)
        assert not api.requests
        assert KEY.encode() not in proxy.seen
    assert done.status == 1
    assert "no secure connection could be made" in done.errors[-1]


REFUSES = "it refuses the user or the connection (407)"
NO_ADDRESS = "it is not an address such as http://host:port"
NO_SOCKS = "SOCKS needs the package `PySocks`, which is not installed"


@pytest.mark.parametrize(
    ("variable", "address", "reason"),
    [
        ("https_proxy", "", REFUSES),
        ("HTTPS_PROXY", "", REFUSES),
        ("ALL_PROXY", "http://:80", NO_ADDRESS),
        ("HTTPS_PROXY", "http://proxy:word", NO_ADDRESS),
        ("HTTPS_PROXY", "ftp://pass-word@proxy", NO_ADDRESS),
        ("all_proxy", "socks5://user:pass-word@proxy", NO_SOCKS),
    ],
)
def test_unusable_proxy_stops_the_run_at_once(
    tap, monkeypatch, variable, address, reason
):
    """In place of two minutes of retries."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    answer = b"HTTP/1.1 407 Who is user:pass-word\r\n\r\n"
    with Proxy(f"https://{HOST}", answer) as proxy:
        done = run_by("", tap, **{variable: address or proxy.url})
        assert proxy.seen.count(b"CONNECT") <= (not address)
        assert KEY.encode() not in proxy.seen
    assert done.status == 1
    start = f"The proxy of the environment variable `{variable}` can't be used: "
    assert done.errors == [f"{start}{reason}. Correct the variable, or unset it."]
    assert done.summary["retries"] == 0
    assert "word" not in done.stderr
