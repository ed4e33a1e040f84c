"""The server answers this machine alone, with the page and its data; an idle sweep costs next to nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.report.__main__ import main
from analysis.report.live.server import PORT, Server, serve
from analysis.report.live.watcher import Watcher
from tests.analysis.factory import write
from tests.analysis.report.live.conftest import Serve
from tests.analysis.report.test_page import TRIALS

ROOT = Path(__file__).parents[4]


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


@pytest.fixture
def server(tmp_path: Path, served: Serve) -> Server:
    return served(write(tmp_path / "digits", TRIALS))


def test_it_listens_on_this_machine_alone(server: Server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8471", "127.0.0.1.evil.example:1", "", "localhost.:1"])
def test_another_name_for_this_machine_is_refused(server: Server, host: str) -> None:
    status, _, body = ask(server, "/live.json", Host=host)
    assert status == 403
    assert b"digits" not in body


@pytest.mark.parametrize("host", ["127.0.0.1:8471", "localhost", "localhost:9999"])
def test_this_machine_may_have_another_port_through_a_tunnel(server: Server, host: str) -> None:
    assert ask(server, "/live.json", Host=host)[0] == 200


@pytest.mark.parametrize(
    "path", ["/sweep.yaml", "/00000/record.json", "/../../etc/passwd", "//etc/passwd", "/live.json/..", "/%2e%2e/", "*"]
)
def test_no_file_of_the_disk_has_an_address(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_nothing_can_be_sent_to_it(server: Server) -> None:
    assert ask(server, "/live.json", "POST")[0] == 501
    assert ask(server, "/live.json", "HEAD")[2] == b""


def test_what_the_asker_has_is_not_sent_again(server: Server) -> None:
    for path in ("/", "/live.json", "/report.json"):
        status, headers, body = ask(server, path)
        assert (status, bool(body)) == (200, True)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert ask(server, path, If_None_Match=headers["ETag"])[::2] == (304, b"")


def test_the_report_names_its_version(server: Server) -> None:
    live, report = (json.loads(ask(server, path)[2]) for path in ("/live.json", "/report.json"))
    assert live["report"] == report["version"]
    assert not live["lost"]


def test_a_folder_that_goes_away_is_said_and_the_rest_stays(tmp_path: Path, served: Serve) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    server = served(folder)
    ask(server, "/live.json")
    folder.rename(tmp_path / "moved")
    time.sleep(1.1)
    live = json.loads(ask(server, "/live.json")[2])
    assert live["lost"]
    assert str(folder) in live["said"]
    assert "\n" not in live["said"]
    assert json.loads(ask(server, "/report.json")[2])["title"] == "digits"


def test_a_port_in_use_is_one_line_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([str(folder), "--watch", "--port", str(taken.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "give another one" in said


def test_without_a_port_it_is_the_first_free_one(tmp_path: Path) -> None:
    watcher = Watcher([write(tmp_path / "digits", TRIALS)], draw=False)
    with serve(watcher) as first, serve(watcher) as second:
        assert PORT <= first.server_port < second.server_port


@pytest.mark.parametrize(
    "options", [["--port", "80"], ["--watch", "--out", "x"], ["--watch", "--port", "x"], ["--watch", "--port", "65536"]]
)
def test_options_that_do_not_fit_are_one_line(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), *options])
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_ends_it_at_once_and_without_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    command = [sys.executable, "-m", "analysis.report", str(folder), "--watch", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading the results\n"
    assert "http://127.0.0.1:" in process.stdout.readline()
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert time.monotonic() - start < 1.0
    assert not (folder / "analysis").exists()
