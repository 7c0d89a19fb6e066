"""What the demo says where the machine can't run PostgreSQL."""

import os

import pytest


@pytest.mark.e2e
def test_missing_useradd_gives_one_sentence_with_the_way_on(monkeypatch):
    from scripts import postgres, server  # noqa: PLC0415 - needs what the demo needs

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(server, "SYSTEM_USER", "nobody-has-this-name")
    monkeypatch.setattr(server, "ADMIN_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("TARGET_POSTGRES_HOST", raising=False)
    with pytest.raises(SystemExit) as refused, postgres.database():
        pass
    (line,) = str(refused.value.code).splitlines()
    assert "useradd" in line
    assert "TARGET_POSTGRES_HOST" in line
