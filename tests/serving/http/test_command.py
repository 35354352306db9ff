"""`uip2p serve`: what it refuses before it listens, and how it ends when its model cannot be loaded."""

from __future__ import annotations

import hashlib
import socket
import sys

import pytest

from uip2p.cli import main, parse
from uip2p.errors import UserError
from uip2p.serving.http import command, logs
from uip2p.serving.http.keys import new_key
from uip2p.serving.ports import is_loopback


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("UIP2P_API_KEYS", raising=False)
    monkeypatch.setattr(logs, "set_up", lambda: None)  # the log of the test run stays as it is


def asked(*options: str):
    return parse(["serve", *options])


def test_a_new_key_and_its_line(capsys):
    assert main(["serve", "--new-key", "alice"]) == 0
    key, line = (part.split(": ", 1)[1] for part in capsys.readouterr().out.strip().splitlines())
    assert line == f"alice:{hashlib.sha256(key.encode()).hexdigest()}"


def test_others_need_a_key_or_a_word(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"--host 0\.0\.0\.0 is for others than this machine"):
        command.find_keys(asked("--host", "0.0.0.0"), is_loopback("0.0.0.0"))
    assert command.find_keys(asked("--host", "0.0.0.0", "--no-keys"), False) == ()
    assert command.find_keys(asked(), is_loopback("127.0.0.1")) == ()
    (tmp_path / "keys").write_text(new_key("alice")[1])
    monkeypatch.setenv("UIP2P_API_KEYS", new_key("bob")[1])
    assert [key.name for key in command.find_keys(asked("--keys", str(tmp_path / "keys")), False)] == ["alice"]
    assert [key.name for key in command.find_keys(asked(), False)] == ["bob"]
    with pytest.raises(UserError, match="either --keys or --no-keys"):
        command.find_keys(asked("--keys", "x", "--no-keys"), False)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("0.0.0.0", False), ("::", False),
     ("example.org", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_what_is_this_machine_alone(host, local):
    assert is_loopback(host) is local
    assert ("localhost" in command.hosts([], local)) is local
    assert "a.example" in command.hosts(["A.example"], local)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--queue", "0"], "--queue is 0"), (["--deadline", "nan"], "--deadline is nan"),
        (["--port", "70000"], "--port is 70000"), (["--max-body", "0"], "--max-body"), (["--rate", "-1"], "--rate"),
        (["--model", "no/such/folder"], "no/such/folder"),
        (["--host", "203.0.113.9", "--no-keys"], "Give another --host"),
        (["--policy", "none.toml"], "none.toml: there is no such file"), (["--clip", "no/such/clip"], "no/such/clip"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_a_sentence(capsys, options, said):
    assert main(["serve", "--port", "0", "--device", "cpu", *options]) == 2
    assert "uip2p serve: error: " in (err := capsys.readouterr().err) and said in err


@pytest.mark.parametrize("package", ["fastapi", "uvicorn", "sse_starlette", "prometheus_client", "python_multipart"])
def test_a_package_that_is_missing_is_said_before_it_listens(capsys, monkeypatch, package):
    for name in [name for name in sys.modules if name == "uip2p.serving" or name.startswith("uip2p.serving.")]:
        if name != command.__name__:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["serve", "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert said == f"uip2p serve: error: to serve, {package} is needed: pip install 'uip2p[serve]'.\n"


def test_a_port_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen there (Address already in use). Give another --port." in capsys.readouterr().err


def test_a_model_has_its_name_without_the_folders_of_this_machine(tiny_folder):
    for model, name in ((str(tiny_folder), "tiny"), ("mini", "mini"), ("timbrooks/instruct-pix2pix",) * 2):
        assert command.read_settings(asked("--model", model)).model == name
    assert command.read_settings(asked("--model", str(tiny_folder), "--name", "ours")).model == "ours"
