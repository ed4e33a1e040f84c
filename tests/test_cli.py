"""The command line on bad input: exit code 2, one line that names file, line, key and remedy, and nothing created."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ofb_ray.cli import main
from ofb_ray.config import TrialSpec
from ofb_ray.results.records import write_record
from tests.tuning.fake import make_record

TEXT = """\
name: small
model: {args: {patch_size: 4, embed_dim: 64, depth: 2, num_heads: 4}}
search:
  epochs: 3
budgets: [0.5, 0.75]
parameters:
  search.lr: {min: 1e-4, max: 1e-2, log: true}
  search.mask: {values: [both, importance]}
trials: 2
"""

ZIPPED = '"dense.epochs, search.epochs": {values: '
BAD = [
    # what is replaced, by what, its line, its key, and words of the remedy
    ("search:", "serch:", 3, "serch", "did you mean 'search'?"),
    ("epochs: 3", "epohcs: 3", 4, "search.epohcs", "did you mean 'epochs'?"),
    ("epochs: 3", "epochs: three", 4, "search.epochs", "valid integer"),
    ("epochs: 3", "epochs: -1", 4, "search.epochs", "greater than or equal to 0, not -1"),
    ("epochs: 3", "epochs: 3\n  epochs: 4", 5, "search.epochs", "twice, first in line 4"),
    ("epochs: 3", "epochs: [3", 5, "", "not valid YAML"),
    ("epochs: 3", "mask: all", 4, "search.mask", "'both', 'importance' or 'sparsity', not 'all'"),
    ("name: small", "name: a/b", 1, "name", "should match pattern"),
    ("[0.5, 0.75]", "[0.5, 0.5]", 5, "budgets.1", "first as item 0"),
    ("[0.5, 0.75]", "[0.5, 1.5]", 5, "budgets.1.macs_ratio", "less than or equal to 1"),
    ("[0.5, 0.75]", "[]", 5, "budgets", "at least 1 item"),
    ("[0.5, 0.75]", "[0.5, 0.001]", 5, "budgets.1", "smallest reachable subnet"),
    (
        "[0.5, 0.75]",
        "[{ratio: 0.5}]",
        5,
        "budgets.0.ratio",
        "known are gmacs, latency, latency_ms, macs_ratio, p",
    ),
    ("search.lr: {", "search.lrr: {", 7, "parameters.search.lrr", "did you mean 'lr'?"),
    ("search.lr: {", "budget: {", 7, "parameters.budget", "`budgets`"),
    ("search.lr: {", "seed: {", 7, "parameters.seed", "`seeds`"),
    ("min: 1e-4", "min: 1", 7, "parameters.search.lr", "min 1 is not below max 0.01"),
    ("min: 1e-4", "min: 0", 7, "parameters.search.lr", "log needs min > 0"),
    ("min: 1e-4, max: 1e-2, log: true", "min: -1, max: 1", 7, "parameters.search.lr.min", "greater than 0, not -1"),
    ("min: 1e-4, max: 1e-2", "min: 1e-4", 7, "parameters.search.lr", "either `min` and `max` or `values`"),
    (
        "search.lr: {min: 1e-4, max: 1e-2",
        "search.epochs: {min: 1, max: 9",
        7,
        "parameters.search.epochs",
        "integer: true",
    ),
    ("search.lr: {min: 1e-4, max: 1e-2", "search.micro_batch: {min: 8, max: 32", 7, "micro_batch", "integer: true"),
    ("search.lr: {min: 1e-4, max: 1e-2, log: true", "search.entropy: {min: 0, max: 1", 7, "entropy", "give `values`"),
    ("[both, importance]", "[both, bth]", 8, "parameters.search.mask.values.1", "not 'bth'"),
    ("[both, importance]", "[both, both]", 8, "parameters.search.mask.values.1", "twice"),
    (
        "[both, importance]",
        "[both], when: {search.lt: 1}",
        8,
        "search.mask.when.search.lt",
        "did you mean 'search.lr'?",
    ),
    (
        "[both, importance]",
        "[both], when: {search.lr: 1}",
        8,
        "search.mask.when.search.lr",
        "needs a key with `values`",
    ),
    ("trials: 2", "grid: {search.mask: [both]}", 8, "parameters.search.mask", "also stands in `grid`"),
    ("trials: 2", "grid: {search.pmim: [1]}", 9, "grid.search.pmim.0", "not 1"),
    ("trials: 2", "resources: {cpus_per_worker: 4096}", 9, "resources.cpus_per_worker", "_per_worker="),
    ("trials: 2", "resources: {workers: 64, gpus_per_worker: 1}", 9, "resources.gpus_per_worker", "add --set "),
    ("trials: 2", "seeds: [0, -1]", 9, "seeds.1", "greater than or equal to 0"),
    ("trials: 2", "data: {name: folder}", 9, "data", "needs `root`"),
    ("trials: 2", "finetune: {distill: {teachr: dense}}", 9, "finetune.distill.teachr", "did you mean 'teacher'?"),
    ("search.lr: {", "finetune.distill.lr: {", 7, "parameters.finetune.distill.lr", "finetune.distill.temperature"),
    (
        "search.mask: {values: [both, importance]}",
        "search.micro_batch: {min: 8, max: 80, integer: true}",
        8,
        "parameters.search.micro_batch",
        "micro_batch 80 is above batch_size 64: exclude it",
    ),
    ("trials: 2", "grid: {search.micro_batch: [8, 80]}", 9, "grid.search.micro_batch", "above batch_size 64"),
    (
        "trials: 2",
        "grid: {data.augment: [true], data.augment.kind: [none]}",
        9,
        "grid.data.augment.kind",
        "is a part of",
    ),
    ("trials: 2", "sampler: {name: tpe, n_startup_trials: -1}", 9, "sampler.n_startup_trials", "at least 0"),
    ("trials: 2", "sampler: tpee", 9, "sampler.name", "'tpe'"),
    ("trials: 2", "sampler: grid", 7, "parameters.search.lr", "give `values`, not a range"),
    ("trials: 2", "trials: 2\nwarm_start: [nowhere]", 10, "warm_start.0", "<storage>/<sweep name>"),
    ("trials: 2", "trials: 2\npoints: [{search.lt: 1}]", 10, "points.0.search.lt", "did you mean 'search.lr'?"),
    ("trials: 2", "trials: 2\npoints: [{search.lr: 1}]", 10, "points.0.search.lr", "from 0.0001 to 0.01, not 1"),
    ("trials: 2", "trials: 2\npoints: [{search.mask: all}]", 10, "points.0.search.mask", "one of ['both',"),
    ("trials: 2", "points: [{search.lr: 1e-3}]", 9, "points", "need `trials: 2` or more"),
    ("trials: 2", "points: [{}]", 9, "points.0", "is empty"),
    ("search.lr: {", '"search.lr, dense.lr": {', 7, "search.lr, dense.lr", "not a range"),
    ("search.mask: {values: [both, importance]}", ZIPPED + "[[1, 2], [3]]}", 8, "values.1", "a list of 2 values"),
    ("search.mask: {values: [both, importance]}", ZIPPED + "[[1, 2], [-3, 4]]}", 8, "values.1", "dense.epochs: "),
    ("search.mask: {values: [both, importance]}", ZIPPED + "[[1, 2], [1, 2]]}", 8, "values.1", "stands twice"),
    ("trials: 2", 'grid: {"search.lr, dense.lr": [[1e-3, 1e-3]]}', 7, "search.lr", "search.lr stands twice"),
    ("trials: 2", 'grid: {"dense.lr, dense.lr": [[1e-3, 1e-3]]}', 9, "dense.lr", "stands twice"),
    ("trials: 2", 'grid: {"dense.lr, dense.lrr": [[1e-3, 1e-3]]}', 9, "dense.lr", "did you mean 'lr'?"),
    (
        "search.mask: {values: [both, importance]}",
        ZIPPED + "[[1, 2]]}\n  search.mask: {values: [both], when: {search.epochs: 2}}",
        9,
        "search.mask.when.search.epochs",
        "a condition needs a key of one field",
    ),
    ("trials: 2", "storage: ftp://host/x", 9, "storage", "known are s3://, gs://"),
    ("model: {", "model: {name: vit_tinny, ", 2, "model.name", "vit_tinny"),
]


def run(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of `ofb-ray sweep` on `text`; checks that it created nothing."""
    file = tmp_path / "small.yaml"
    file.write_text(text)
    code = main(["sweep", str(file), *arguments])
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
    return code, capsys.readouterr().err.replace(str(tmp_path), "")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("old", "new", "line", "key", "remedy"), BAD, ids=lambda value: str(value)[:30])
def test_bad_sweeps_are_refused_in_one_line_with_place_key_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, line: int, key: str, remedy: str
) -> None:
    assert old in TEXT
    code, error = run(tmp_path, TEXT.replace(old, new), capsys)
    assert code == 2
    assert error.count("\n") == 1
    assert error.startswith(f"ofb-ray: /small.yaml:{line}: ")
    assert key in error
    assert remedy in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "search.lrr=1"], ["--set: search.lrr", "did you mean 'lr'?"]),
        (["--set", "search.lr=-1"], ["--set: search.lr", "greater than 0"]),
        (["--set", "search.lr"], ["--set", "a.b=value"]),
        (["--set", "trials.x=1"], ["--set: trials.x", "not a mapping"]),
        (["--set", "budgets=[0.001]"], ["--set: budgets.0", "raise the budget"]),
        (["--name", "a b"], ["--name: name", "pattern"]),
        (["--storage", "s3://"], ["--storage: storage", "give a folder"]),
        (["--set", "budgets=0.5"], ["--set: budgets", "a list, not 0.5"]),
        (["--resume"], ["--resume", "to resume"]),
        (["--extend"], ["--extend", "to extend"]),
    ],
)
def test_bad_arguments_are_refused_by_the_name_of_the_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    code, error = run(tmp_path, TEXT, capsys, *arguments)
    assert code == 2
    assert error.count("\n") == 1
    assert all(word in error for word in words), error


@pytest.mark.parametrize("command", [["sweep", "no.yaml"], ["status", "."], ["export", ".", "--to", "x"]])
def test_missing_files_and_folders_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_dry_run_prints_every_trial_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    assert main(["sweep", "small.yaml", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[4:8]] == ["0", "1", "2", "3"]
    assert re.search(r"^smallest reachable: [\d.]+k MACs, 0\.\d{4} of the dense network's$", out, re.MULTILINE)
    assert "by Optuna" in out
    assert "time: about" in out
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_parameters_without_trials_are_told_with_the_number_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    line = ["sweep", "small.yaml", "--dry-run", "--set", "parameters={search.lr: {min: 1e-4, max: 1e-2}}"]
    assert main([*line, "--set", "trials=null"]) == 0
    out = capsys.readouterr().out
    assert "`parameters` are not explored: each budget has 1 trial, with the file's own values; set `trials: 8`" in out
    assert "\nexplored: nothing\n" in out
    assert main([*line, "--set", "trials=1"]) == 0
    out = capsys.readouterr().out
    assert "not explored" not in out
    assert "\nexplored: nothing\n" in out


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", "2"), ("grid", "null")])
def test_a_dry_run_names_what_is_explored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sampler: str, trials: str
) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    line = ["sweep", "small.yaml", "--dry-run", "--set", "parameters={search.mask: {values: [both]}}"]
    assert main([*line, "--set", f"sampler={sampler}", "--set", f"trials={trials}"]) == 0
    assert "\nexplored: search.mask\n" in capsys.readouterr().out


def test_a_dry_run_tells_the_epochs_of_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    line = ["sweep", "small.yaml", "--dry-run", "--set", "budgets=[0.75, 0.5, 0.4]", "--set", "search.epochs=10"]
    assert main(line) == 0
    apart = capsys.readouterr().out
    assert "chain" not in apart
    assert main([*line, "--set", "chain={epochs: 2}"]) == 0
    out = capsys.readouterr().out
    assert "chain: 10 + 2 x 2 search epochs a suggestion, 14 where separate searches have 30, 0.47 of it" in out
    assert "0.5 from 0.75" in out
    assert "0.4 from 0.5" in out
    assert main([*line, "--set", "chain={epoch: 2}"]) == 2
    assert "unknown key; did you mean 'epochs'? known are epochs, reference_top1, tell" in capsys.readouterr().err
    assert main([*line, "--set", "chain={epochs: 2}", "--set", "parameters.chain.epochs={min: 1, max: 3}"]) == 2
    assert "is not explored: the top-level key `chain` is the same for all trials" in capsys.readouterr().err
    assert main([*line, "--set", "chain={epochs: 2}", "--set", "budgets=[0.5, 0.75]"]) == 2
    assert "budget 0.75 is not below 0.5" in capsys.readouterr().err


def test_a_dry_run_names_the_preview_of_this_very_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    arguments = ["small.yaml", "--set", "question=how small?", "--set", "dense.epochs=3", "--name", "t"]
    assert main(["sweep", *arguments, "--dry-run"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"preview: ofb-ray preview {shlex.join(arguments)} shows the front without training first"


@pytest.mark.parametrize("lack", [["resources.gpus_per_worker=1"], ["data.name=cifar10", "data.root=none"]])
def test_a_dry_run_names_no_preview_where_something_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lack: list[str]
) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    sets = [part for each in lack for part in ("--set", each)]
    assert main(["sweep", "small.yaml", *sets, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "missing: " in out
    assert "preview" not in out


def test_a_dry_run_names_no_preview_of_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    assert main(["sweep", "small.yaml", "--storage", f"file://{tmp_path}/r", "--dry-run"]) == 0
    assert "preview" not in capsys.readouterr().out


def test_a_trial_runs_without_ray_resumes_by_itself_and_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    line = ["trial", "small.yaml", "--out", "one"]
    for phase in ("dense", "search", "finetune"):
        line += ["--set", f"{phase}.epochs=1"]
    assert main(line) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["dense", "search", "finetune"]
    before = (tmp_path / "one" / "record.json").read_bytes()
    assert main(line) == 0
    assert "search" not in capsys.readouterr().out.splitlines()
    assert (tmp_path / "one" / "record.json").read_bytes() == before
    assert main([*line, "--set", "search.lr=0.1"]) == 2
    assert "one: --out: holds another trial" in capsys.readouterr().err
    assert main(["export", "one", "--to", "model"]) == 0
    assert {"arch.json", "model.safetensors"} <= {path.name for path in (tmp_path / "model").iterdir()}


def test_a_trial_that_was_copied_without_its_weights_is_no_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = TrialSpec.model_validate({"budget": 0.5})
    write_record(tmp_path / "00000", make_record(spec))
    assert main(["export", "00000", "--to", "x"]) == 2
    assert capsys.readouterr().err == (
        "ofb-ray: 00000: lacks arch.json and model.safetensors: copy the whole trial folder\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["sweep", "--help"], 0), (["sweep", "small.yaml"], 2)]
)
def test_help_and_bad_keys_load_neither_torch_nor_ray(tmp_path: Path, arguments: list[str], code: int) -> None:
    (tmp_path / "small.yaml").write_text(TEXT.replace("search:", "serch:"))
    script = (
        "import sys; from ofb_ray.cli import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, *({'torch', 'ray', 'optuna'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    line = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(line, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.splitlines()[-1] == str(code)
