"""Results in an object store: a real S3 server on loopback, a killed driver, another machine, refusals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.trials.read import read
from ofb_ray.cli import main
from ofb_ray.errors import InputError
from ofb_ray.results import store as store_module
from ofb_ray.results.atomic import write_json
from ofb_ray.results.attempt import SupersededError, attempt
from ofb_ray.results.cells import plain_cell
from ofb_ray.results.files import LOG_FILE, LeaseFile, Progress, TrialFile
from ofb_ray.results.folder import check_same_sweep, write_sweep
from ofb_ray.results.lease import LEASE_VARIABLE, Lease
from ofb_ray.results.locations import CACHE_VARIABLE, is_uri, join, parent, same
from ofb_ray.results.objects import FolderObjects, Version
from ofb_ray.results.records import write_record
from ofb_ray.results.store import Remote, readable
from ofb_ray.tuning.execute import execute
from ofb_ray.tuning.prepare import prepare
from tests.results.store import BUCKET, client, server
from tests.tuning.fake import make_record
from tests.tuning.optuna.studies import sweep
from tests.tuning.test_launch import ROOT, command, start, wait_for

RESULTS = f"s3://{BUCKET}/team"


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    with server() as environment:
        yield environment


@pytest.fixture
def remote(store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A URI of this test alone."""
    for key, value in store.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(LEASE_VARIABLE, "3")
    return f"s3://{BUCKET}/{tmp_path.name}"


def test_locations_are_joined_before_their_query() -> None:
    assert join("s3://b/a/?scheme=http", "x") == "s3://b/a/x?scheme=http"
    assert parent("s3://b/a/x?scheme=http") == "s3://b/a?scheme=http"
    assert parent(Path("a/b")) == Path("a")
    assert is_uri("gs://b")
    assert not is_uri("a:/b")


def test_small_files_follow_the_store_and_large_ones_stay(remote: str) -> None:
    place = Remote(remote)
    files = {
        "sweep.yaml": b"1",
        "00000/record.json": b"2",
        "00000/model.safetensors": b"3",
        "shared/k/dense.json": b"4",
    }
    for name, data in files.items():
        place.write(name, data)
    folder = readable(remote)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.[yj]*") if p.name[0] != ".") == [
        "00000/record.json",
        "sweep.yaml",
    ]
    place.write("00000/record.json", b"22")
    place.delete("sweep.yaml")
    assert (readable(remote) / "00000/record.json").read_bytes() == b"22"
    assert not (folder / "sweep.yaml").exists()
    assert place.read("none") is None


def test_a_lease_is_for_one_until_it_falls_silent(remote: str) -> None:
    place = Remote(remote)
    mine, other = Lease(place, "lease.json", seconds=1.5), Lease(place, "lease.json", seconds=1.5)
    assert mine.acquire()
    assert not other.acquire()
    mine._stop.set()  # as if its process had been lost: it renews no more
    start = time.monotonic()
    assert other.acquire()
    assert 1.4 < time.monotonic() - start < 6
    assert other.mine()
    assert not mine.mine()
    other.release()
    assert other.holder() is None


@pytest.mark.parametrize("kind", ["s3", "file"])
@pytest.mark.parametrize("before", ["", "{}", '{"id": "x", "host": "gone", "pid": 1}'])
def test_of_five_at_once_exactly_one_gets_the_lease(remote: str, tmp_path: Path, kind: str, before: str) -> None:
    """Of a lease that nobody has had, one that was given back, and one whose holder is gone."""
    uri = remote if kind == "s3" else f"file://{tmp_path}/place"
    place = Remote(uri)
    if before:
        place.write("lease.json", before.encode())
    leases = [Lease(Remote(uri), "lease.json", seconds=1) for _ in range(5)]
    got: list[bool] = []
    threads = [threading.Thread(target=lambda lease=lease: got.append(lease.acquire())) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False, False, False, False, True]
    assert [lease.mine() for lease in leases].count(True) == 1
    for lease in leases:
        lease.release()
    assert leases[0].acquire()
    leases[0].release()


def test_who_loses_a_lease_hears_of_it(remote: str) -> None:
    place = Remote(remote)
    first, second = Lease(place, "lease.json", seconds=0.4), Lease(place, "lease.json", seconds=0.4)
    assert first.acquire()
    second.take()
    assert first.lost.wait(5)
    first.release()
    assert second.mine()
    second.release()


def test_a_store_that_ignores_conditions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(self: FolderObjects, name: str, data: bytes, version: Version | None) -> Version:
        self.write(name, data)
        return {"e_tag": "any"}

    monkeypatch.setattr(FolderObjects, "replace", replace)
    with pytest.raises(InputError, match="does not honour conditional writes"):
        Remote(f"file://{tmp_path}/place").check_writable()
    assert not any((tmp_path / "place").iterdir())


def test_a_store_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first request that hangs, as one does whose packets are dropped."""
    monkeypatch.setattr(store_module, "CONTACT_SECONDS", 0.2)
    monkeypatch.setattr(FolderObjects, "list", lambda self, below: threading.Event().wait(20))
    with pytest.raises(InputError, match=r"no answer in 0 s: check the store's name"):
        Remote(f"file://{tmp_path}/place").small()


@pytest.mark.slow
def test_a_driver_killed_on_one_machine_is_continued_on_another(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9, then an empty working folder and cache; then the analysis, the status and an export from the URI."""
    monkeypatch.setenv(LEASE_VARIABLE, "10")  # a driver that waits for a busy CPU does not look dead
    line = command(tmp_path, trials=3, parameters={"search.lr": {"min": 1e-4, "max": 1e-2, "log": True}})
    line += ["--storage", remote]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    first = start(tmp_path, line, epoch_seconds=0.5)
    place = Remote(f"{remote}/s")
    wait_for(lambda: count(place, "record.json") >= 2, first)
    with monkeypatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path / "another" / "cache"))
        second = prepare(tmp_path / "s.yaml", storage=remote)
        with pytest.raises(InputError, match="another process drives the sweep in s3"):
            execute(second)
    first.kill()
    first.communicate()
    kept = contents(place, "record.json")
    issued = contents(place, "trial.json")

    command(elsewhere, trials=3, parameters={"search.lr": {"min": 1e-4, "max": 1e-2, "log": True}})
    again = start(elsewhere, [*line, "--resume"], environment={CACHE_VARIABLE: str(elsewhere / "cache")})
    out, error = again.communicate(timeout=120)
    assert again.returncode == 0, out + error
    assert f"resuming: {len(kept)} of 6 finished" in out
    assert f"In {remote}/s/analysis" in out
    assert str(tmp_path) not in out
    assert count(place, "record.json") == 6
    for found in (kept, issued):
        assert {name: place.read(name) for name in found} == found
    for number in range(6):
        assert epochs(tmp_path, number) == {0, 1, 2, 3}
    assert {json.loads(line)["op_code"] for line in (place.read("study.journal") or b"").splitlines()}
    assert Lease(place, "driver.json").holder() is None
    assert_analysis(remote, elsewhere)


def assert_analysis(remote: str, folder: Path) -> None:
    command_line = [sys.executable, "-m", "analysis.pareto", f"{remote}/s", "--out", "here"]
    done = subprocess.run(command_line, cwd=folder, text=True, capture_output=True, env=environ())
    assert done.returncode == 0, done.stderr
    assert len((folder / "here" / "front.csv").read_text().splitlines()) == 7
    status = subprocess.run(
        [sys.executable, "-m", "ofb_ray", "status", f"{remote}/s"], text=True, capture_output=True, env=environ()
    )
    assert "6 of 6 done" in status.stdout, status.stdout + status.stderr


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def contents(place: Remote, name: str) -> dict[str, bytes | None]:
    return {path: place.read(path) for path in place.list() if path.endswith(f"/{name}")}


def count(place: Remote, name: str) -> int:
    return sum(path.endswith(f"/{name}") for path in place.list())


def epochs(machines: Path, number: int) -> set[int]:
    """What was trained of a trial on either machine."""
    lines = [line for path in machines.rglob(f"{number:05d}/epochs.log") for line in path.read_text().splitlines()]
    return {int(line.split()[1]) for line in lines}


def refused(tmp_path: Path, uri: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which `ofb-ray sweep` refuses the store."""
    command(tmp_path)
    assert main(["sweep", str(tmp_path / "s.yaml"), "--storage", uri]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "--storage" in line
    return line


@pytest.mark.parametrize(
    ("uri", "environment", "message"),
    [
        (
            "s3://bucket/x",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "cannot be reached: check its name, AWS_ENDPOINT_URL",
        ),
        ("s3://no-such-bucket/x", {}, "there is no such bucket: make it"),
        ("ftp://host/x", {}, "known are s3://, gs:// and file://"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_one_line(
    remote: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    uri: str,
    environment: dict[str, str],
    message: str,
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert message in refused(tmp_path, uri, capsys)


def test_wrong_credentials_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(checks_credentials=True) as store:
        right = {**store, CACHE_VARIABLE: str(tmp_path / "cache")}
        for changes in ({}, {"AWS_SECRET_ACCESS_KEY": "wrong"}, {"AWS_ACCESS_KEY_ID": "AKIAWRONG"}):
            for key, value in {**right, **changes}.items():
                monkeypatch.setenv(key, value)
            if not changes:
                Remote(f"s3://{BUCKET}/x").check_writable()
                continue
            assert "check AWS_ACCESS_KEY_ID" in refused(tmp_path, f"s3://{BUCKET}/x", capsys)
        assert "Contents" not in client("s3", store).list_objects_v2(Bucket=BUCKET)


def test_a_uri_that_holds_nothing_leaves_nothing_here_and_is_told_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    uri = f"file://{tmp_path}/store/s"
    assert main(["status", uri]) == 2
    assert capsys.readouterr().err.startswith(f"ofb-ray: {uri}: no results folder")
    with pytest.raises(InputError, match=f"^{uri}: there is no such folder"):
        read([uri])
    assert not list(tmp_path.iterdir())


def test_a_sweep_in_a_store_is_named_by_its_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    uri = f"file://{tmp_path}/store/s"
    write_sweep(tmp_path / "store" / "s", sweep())
    with pytest.raises(InputError, match=f"the sweep in {uri} has 0.001"):
        check_same_sweep(readable(uri), sweep(search={"lr": 0.5}), uri=uri)


def test_status_of_a_store_ends_with_the_logs_of_what_failed_or_is_silent(
    remote: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only those logs are fetched, each time anew."""
    here, place, spec = tmp_path / "s", Remote(f"{remote}/s"), sweep()
    write_sweep(here, spec)
    for number in range(3):
        TrialFile(trial=number, key="k", label="0.5", cell=plain_cell(spec.cells[0]), spec={}).write(
            here / f"0000{number}"
        )
        (here / f"0000{number}" / LOG_FILE).write_text(f"epoch 0\nend of {number}\n")
    failed = make_record(spec.trial(spec.cells[0], {}), 0, status="failed", reason="loss is NaN", subnet=None)
    write_record(here / "00000", failed)
    for number, quiet in ((1, 500.0), (2, 0.0)):
        Progress(phase="search", epoch=1, epochs=3, time=time.time() - quiet).write(here / f"0000{number}")
        write_json(here / f"0000{number}" / "lease.json", LeaseFile(id="a", time=time.time()).model_dump())
    place.upload(here, [path.relative_to(here).as_posix() for path in here.rglob("*") if path.is_file()])
    assert main(["status", f"{remote}/s"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"its log ends: (.*)", out) == ["end of 1", "end of 0"]
    place.write(f"00000/{LOG_FILE}", b"tried again\n")
    assert main(["status", f"{remote}/s"]) == 0
    assert re.findall(r"its log ends: (.*)", capsys.readouterr().out) == ["end of 1", "tried again"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("s3://b/a/s", "s3://b/a//s/", True),
        ("s3://b/a/s?scheme=http", "s3://b/a/s/?scheme=http", True),
        ("file:///a/s/", "/a/s", True),
        ("a/s/", "a/s", True),
        ("s3://b/a", "gs://b/a", False),
        ("s3://b/a", "s3://b/a/s", False),
    ],
)
def test_one_place_has_several_names(one: str, other: str, equal: bool) -> None:
    assert same(one, other) == equal


def test_a_search_goes_on_from_what_another_node_has_left(remote: str, tmp_path: Path) -> None:
    """Of a chain's two trials, each on a node of its own: the first leaves its search, the second one finds it."""
    nodes = [tmp_path / name / "s" for name in ("one", "two")]
    place = Remote(remote)

    def note(line: str) -> None:
        raise AssertionError(line)

    for node in nodes:
        (node / "shared" / "dense").mkdir(parents=True)
        (node / "shared" / "dense" / "dense.json").write_text("{}")
    with attempt(nodes[0] / "00000", note, uri=remote, dense_key="dense", search="search-a") as first:
        kept = nodes[0] / "shared" / "search-a" / "state.pt"
        kept.parent.mkdir()
        kept.write_bytes(b"decided")
        first.saved(now=True)
        assert place.read("shared/search-a/state.pt") == b"decided"
        with attempt(nodes[1] / "00001", note, uri=remote, dense_key="dense", search="search-b", above="search-a"):
            assert (nodes[1] / "shared" / "search-a" / "state.pt").read_bytes() == b"decided"
    with attempt(nodes[1] / "00002", note, uri=remote, dense_key="dense", above="search-c"):
        assert not (nodes[1] / "shared" / "search-c").exists()  # searched again


def test_an_attempt_that_lost_its_trial_hears_of_it_at_its_next_epoch(remote: str, tmp_path: Path) -> None:
    """As when a network was cut and is mended: another node has taken the trial meanwhile."""
    nodes = [tmp_path / name / "s" for name in ("one", "two")]
    for node in nodes:
        (node / "shared" / "dense").mkdir(parents=True)
        (node / "shared" / "dense" / "dense.json").write_text("{}")
    with attempt(nodes[0] / "00000", print, uri=remote, dense_key="dense") as first:
        first.saved(now=True)
        with attempt(nodes[1] / "00000", print, uri=remote, dense_key="dense") as second:
            (nodes[0] / "00000" / "progress.json").write_text("late")
            with pytest.raises(SupersededError):
                first.saved()
            with pytest.raises(SupersededError):
                first.finished()
            second.saved(now=True)
        assert Remote(remote).read("00000/progress.json") is None


def test_looking_whether_a_folder_can_be_written_leaves_its_lock_alone(tmp_path: Path) -> None:
    for _ in range(2):
        Remote(f"file://{tmp_path}/place").check_writable()
    assert [path.name for path in (tmp_path / "place").iterdir()] == [".store.lock"]
