"""Bad input by chance: whatever it is, a command ends with 0, or with 2 and one line, inside of its folder and soon.

    OFB_RAY_FUZZ=2000 OFB_RAY_FUZZ_SEED=7 pytest -m slow tests/fuzz

`OFB_RAY_FUZZ_KEEP` names a folder for the cases that failed.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ofb_ray.config import yaml12
from ofb_ray.config.shipped import shipped_sweep
from ofb_ray.results.folder import write_sweep
from ofb_ray.results.index import TrialIndex
from ofb_ray.tuning.optuna.study import Suggestions
from tests.export.trials import subnet, write_trial
from tests.fuzz.cases import Case, judge, keep, prepare
from tests.fuzz.mutate import VALUES, mutate_bytes, mutate_json, mutate_tree
from tests.tuning.optuna.studies import BASE, close, finish, issue, sweep

COUNT = int(os.environ.get("OFB_RAY_FUZZ", "300"))
SEED = int(os.environ.get("OFB_RAY_FUZZ_SEED", "0"))
KEEP = os.environ.get("OFB_RAY_FUZZ_KEEP")
Maker = Callable[[random.Random, Path, Path], Case]
_SWEEPS = ("digits", "scenes", "cifar10_vit_tiny", "paper/main_digits")
_ONE = {"epochs": 1, "batch_size": 64}
_SMALL = {
    "model": {"args": {"img_size": 8, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 4}},
    "data": {"train_limit": 128},
    "dense": _ONE,
    "search": {**_ONE, "lr": 1e-3},
    "finetune": _ONE,
}
_ANALYSES = ("analysis.pareto", "analysis.search", "analysis.tables", "analysis.report.__main__", "analysis.gate")


def a_sweep(rng: random.Random, folder: Path, templates: Path) -> Case:
    """A dry run of a shipped sweep with something wrong in it."""
    work = prepare(folder)
    text = shipped_sweep(rng.choice(_SWEEPS)).read_bytes()
    if rng.random() < 0.6:
        text = yaml12.dump(mutate_tree(rng, yaml12.load(text.decode(), "x")[0])).encode(errors="surrogatepass")
    else:
        text = mutate_bytes(rng, text)
    (work / "s.yaml").write_bytes(text)
    return Case("sweep", ("sweep", "s.yaml", "--dry-run"), folder)


def a_line(rng: random.Random, folder: Path, templates: Path) -> Case:
    """A command line with something wrong in it."""
    prepare(folder)
    keys = (
        "model.name",
        "model.args",
        "budgets",
        "seeds",
        "trials",
        "data.root",
        "data.name",
        "storage",
        "grid",
        "parameters",
        "search.lr",
        "resources.workers",
        "chain",
        "points",
        "warm_start",
        "x",
        "a.b.c",
        "",
        "model",
    )
    wrong = str(rng.choice(VALUES)).replace("\x00", "")
    text = wrong.encode(errors="replace").decode()
    lines = [
        ("sweep", "digits", "--dry-run", "--set", f"{rng.choice(keys)}={text}"),
        ("sweep", "digits", "--dry-run", rng.choice(("--storage", "--name", "--set", "--address")), text),
        ("sweep", text, "--dry-run"),
        ("status", text),
        ("export", text, "--to", "out"),
        ("latency", text, "--seconds", rng.choice(("0.1", text)), "--backend", "torch"),
        ("trial", "--from", text),
        ("trial", text, "--set", text),
        ("preview", text, "--budgets", text),
        ("preview", "digits", "--budgets", text),
        ("sweeps", text),
        ("completion", text),
        (text, "x"),
        ("analysis", rng.choice(_ANALYSES), text),
        (rng.choice(("report", "front", "tables", "inspect")), text),
        ("load", text),
    ]
    return Case("line", rng.choice(lines), folder)


def a_results_folder(rng: random.Random, folder: Path, templates: Path) -> Case:
    """A results folder with a file that is not what it should be, and a command that reads it."""
    work = prepare(folder)
    shutil.copytree(templates / "results", work / "results")
    (work / "s.yaml").write_text(yaml12.dump({**BASE, **_SMALL}))
    results = work / "results" / "s"
    name = rng.choice(("record", "record", "trial", "progress", "sweep", "journal", "attempts", "gate"))
    if name == "sweep":
        path = results / "sweep.yaml"
        path.write_bytes(mutate_bytes(rng, path.read_bytes()))
    elif name == "journal":
        path = results / "study.journal"
        path.write_bytes(mutate_bytes(rng, path.read_bytes()))
    else:
        path = results / f"0000{rng.randrange(3)}" / f"{name}.json"
        replace_json(rng, path, path.read_bytes() if path.exists() else b'{"phase": "search", "epoch": 1}')
    commands = [
        ("status", "results/s"),
        ("sweep", "s.yaml", "--dry-run"),
        ("sweep", "s.yaml", "--dry-run", "--retry-failed"),
        ("export", "results/s/00000", "--to", "out"),
        ("trial", "--from", "results/s/00001/record.json", "--out", "again"),
        *(("analysis", module, "results/s") for module in _ANALYSES),
    ]
    return Case(f"results {path.name}", rng.choice(commands), folder)


def an_export(rng: random.Random, folder: Path, templates: Path) -> Case:
    """A trial or an exported folder with a file that is not what it should be."""
    work = prepare(folder)
    shutil.copytree(templates / "trial", work / "trial")
    name = rng.choice(("arch.json", "arch.json", "record.json", "model.safetensors", "latency.json"))
    path = work / "trial" / name
    if name == "model.safetensors":
        path.write_bytes(mutate_bytes(rng, path.read_bytes()))
    else:
        replace_json(rng, path, path.read_bytes() if path.exists() else b'{"rows": [{"network": "dense"}]}')
    commands = [
        ("export", "trial", "--to", "out"),
        ("load", "trial"),
        ("latency", "trial", "--seconds", "0.1", "--backend", "torch", "--batch", "1"),
    ]
    return Case(f"export {name}", rng.choice(commands), folder)


def replace_json(rng: random.Random, path: Path, data: bytes) -> None:
    """Put bad JSON, or no plain file at all, in the place of a file."""
    path.unlink(missing_ok=True)
    chance = rng.random()
    if chance < 0.03:
        os.mkfifo(path)
    elif chance < 0.05:
        path.mkdir()
    elif chance < 0.07:
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(mutate_json(rng, data))


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of a sweep of which four trials have ended, and a trial with a real subnet."""
    root = tmp_path_factory.mktemp("templates")
    spec, results = sweep(**_SMALL), root / "results" / "s"
    results.mkdir(parents=True)
    write_sweep(results, spec)
    source = Suggestions.open(TrialIndex.read(results, spec))
    for _ in range(4):
        number = issue(source)
        assert number is not None
        finish(results, spec, number)
        close(source, number)
    (root / "trial").mkdir()
    write_trial(root / "trial", "plain", *subnet("plain"))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "share"), [(a_sweep, 0.35), (a_line, 0.2), (a_results_folder, 0.3), (an_export, 0.15)]
)
def test_bad_input_is_told_in_one_line(make: Maker, share: float, templates: Path) -> None:
    def run(seed: int) -> str:
        rng = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix="ofb-fuzz-") as folder:
            try:
                case = make(rng, Path(folder), templates)
            except Exception:
                return f"seed {seed}: the case cannot be made: {traceback.format_exc()[-300:]}"
            if fault := judge(case):
                if KEEP:
                    keep(case, Path(KEEP) / f"{make.__name__}-{seed}")
                return f"seed {seed}, {case.name}, {' '.join(case.arguments)[:200]!r}: {fault}"
        return ""

    with ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(run, range(SEED, SEED + round(COUNT * share))) if fault]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults)
