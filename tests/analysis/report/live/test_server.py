"""The server answers this machine alone, with the page and its data; an idle sweep costs next to nothing."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.report.__main__ import main
from analysis.report.live import watcher
from analysis.report.live.server import PORT, Server, serve
from analysis.report.live.watcher import Watcher
from analysis.report.page import Picture
from analysis.trials.trial import Results
from ofb_ray.errors import InputError
from ofb_ray.results.files import trial_folder
from ofb_ray.results.records import write_record
from tests.analysis.factory import record, write, write_open
from tests.analysis.report.live.conftest import Serve, worked_on
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


def test_a_store_is_followed_and_commands_name_it(
    tmp_path: Path, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFB_RAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(watcher, "STORE_SECONDS", 0.0)
    monkeypatch.setattr(watcher, "LOOK_SECONDS", 0.0)
    folder = write(tmp_path / "digits", TRIALS)
    server = served(folder.as_uri())
    before = json.loads(ask(server, "/live.json")[2])["report"]
    write_record(trial_folder(folder, 4), record(4, 0.75, 98.3))
    assert json.loads(ask(server, "/live.json")[2])["report"] != before
    found = json.loads(ask(server, "/report.json")[2])
    assert found["facts"][4][2] == f"ofb-ray trial --from {folder.as_uri()}/00004"


def test_pictures_rest_ten_times_as_long_as_they_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def draw(results: Results, folders: object) -> list[Picture]:
        drawn.append(len(results.trials))
        time.sleep(0.1)
        return []

    monkeypatch.setattr(watcher, "pictures", draw)
    monkeypatch.setattr(watcher, "LOOK_SECONDS", 0.0)
    folder = write(tmp_path / "digits", TRIALS)
    watched = Watcher([folder])
    first = json.loads(watched.live())["pictures"]
    before = time.monotonic()
    assert json.loads(watched.pictures())["version"] == first
    assert watched._rested >= before + 0.1 + 10 * 0.1
    watched._rested = float("inf")
    write_record(trial_folder(folder, 4), record(4, 0.75, 98.3))
    assert json.loads(watched.live())["pictures"] == first
    assert json.loads(watched.pictures())["version"] == first
    watched._rested = 0.0
    later = json.loads(watched.live())
    assert later["pictures"] == later["report"] != first
    assert json.loads(watched.pictures())["version"] == later["report"]
    assert drawn == [4, 5]


def test_a_trial_whose_process_is_killed_runs_no_longer(tmp_path: Path, served: Serve) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    write_open(folder, 4, running=False)  # its lock is taken before its first report
    with worked_on(folder, 4):
        server = served(folder)
        running = json.loads(ask(server, "/live.json")[2])
        assert "1 running" in json.loads(ask(server, "/report.json")[2])["parts"]["header"]
    time.sleep(1.1)
    ended = json.loads(ask(server, "/live.json")[2])
    assert "starting" in running["running"]
    assert "No trial is running" in ended["running"]
    assert ended["report"] != running["report"]
    assert "1 queued" in json.loads(ask(server, "/report.json")[2])["parts"]["header"]


def test_a_page_that_closes_before_its_answer_is_no_error(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends by a reset
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert ask(server, "/live.json")[0] == 200
    time.sleep(0.5)
    assert capfd.readouterr().err == ""


def test_a_store_that_does_not_answer_is_one_line(
    tmp_path: Path, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = served(write(tmp_path / "digits", TRIALS))

    def fail(*_: object) -> None:
        raise InputError("cannot read s3://bucket: no answer")

    monkeypatch.setattr(watcher, "content", fail)
    assert ask(server, "/report.json")[::2] == (503, b"cannot read s3://bucket: no answer")


def test_a_port_in_use_is_one_line_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "digits", TRIALS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([str(folder), "--watch", "--port", str(taken.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "give another one" in said


def test_without_a_port_it_is_the_first_free_one(tmp_path: Path) -> None:
    watched = Watcher([write(tmp_path / "digits", TRIALS)], draw=False)
    with serve(watched) as first, serve(watched) as second:
        assert PORT <= first.server_port < second.server_port


@pytest.mark.parametrize(
    "options", [["--port", "80"], ["--watch", "--out", "x"], ["--watch", "--port", "x"], ["--watch", "--port", "65536"]]
)
def test_options_that_do_not_fit_are_one_line(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([str(tmp_path), *options])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
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
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    lived = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # In seconds of CPU, which other work on the machine does not change.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - lived < 0.3
    assert not (folder / "analysis").exists()
