"""Sweep files: what they mean, what overrides do, and that a resolved sweep reads back as itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ofb_ray.config import DataSpec, Json, SweepSpec, yaml12
from ofb_ray.config.load import load_sweep, read, trial_error
from ofb_ray.config.space import suggestion_order
from ofb_ray.errors import InputError, nearest

SWEEPS = Path(__file__).parent.parent.parent / "sweeps"
TEXT = """\
name: small
search: {epochs: 3, lr: 1e-3}
budgets: [0.5, {gmacs: 0.001}]
grid:
  search.mask: [both, importance]
seeds: [0, 1]
parameters:
  search.pmim.start: {min: 0.01, max: 0.1, when: {search.pmim.mode: progressive}}
  search.pmim.mode: {values: [off, progressive]}
  search.eliminations_per_epoch: {min: 1, max: 4, integer: true}
trials: 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_a_resolved_sweep_reads_back_as_itself(file: Path) -> None:
    spec = load_sweep(file)
    tree, _ = yaml12.load(yaml12.dump(spec.model_dump(mode="json")), "again")
    assert SweepSpec.model_validate(tree) == spec


def test_cells_are_budgets_times_grid_times_seeds(file: Path) -> None:
    cells = [(cell["budget"].label, cell["search.mask"], cell["seed"]) for cell in load_sweep(file).cells]
    assert len(cells) == len(set(cells)) == 2 * 2 * 2
    assert cells[0] == ("0.5", "both", 0)
    assert cells[-1] == ("0.001 GMACs", "importance", 1)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("search.lr=1e-4", ("search", "lr"), 1e-4),
        ("search.pmim.end=0.5", ("search", "pmim", "end"), 0.5),
        ("budgets=[0.25]", ("budgets", 0, "macs_ratio"), 0.25),
        ("seeds=[3]", ("seeds", 0), 3),
        ("model.args.depth=2", ("model", "args", "depth"), 2),
        ("grid.search.mask=[both]", ("grid", "search.mask"), ["both"]),
        ("parameters.search.pmim.start.max=0.2", ("parameters", "search.pmim.start", "max"), 0.2),
        ("question=a=b", ("question",), "a=b"),
    ],
)
def test_an_override_replaces_exactly_one_value(
    file: Path, override: str, path: tuple[str, ...], value: object
) -> None:
    before, after = load_sweep(file), load_sweep(file, [override])
    found: Json = after.model_dump(mode="json")
    for part in path:
        found = found[part]
    assert found == value
    changed = {name for name in SweepSpec.model_fields if getattr(before, name) != getattr(after, name)}
    assert changed == {path[0]}


ZIPPED = """\
name: small
budgets: [0.5]
sampler: {name: tpe, n_startup_trials: 3}
grid:
  "search.batch_size, finetune.batch_size": [[32, 64], [64, 64]]
parameters:
  "search.epochs, finetune.epochs": {values: [[10, 20], [20, 40]]}
  search.lr: {min: 1e-4, max: 1e-2, log: true}
points: [{search.lr: 1e-3}, {"search.epochs, finetune.epochs": [20, 40]}]
warm_start: [results/earlier]
trials: 3
"""


def test_keys_that_move_together_read_back_and_are_named_in_errors(file: Path) -> None:
    file.write_text(ZIPPED)
    spec = load_sweep(file, ["parameters.search.epochs, finetune.epochs.values=[[1, 2]]", "points=[]"])
    assert spec.parameters["search.epochs, finetune.epochs"].values == ([1, 2],)
    spec = load_sweep(file)
    assert spec.sampler.options == {"n_startup_trials": 3}
    tree, _ = yaml12.load(yaml12.dump(spec.model_dump(mode="json")), "again")
    assert SweepSpec.model_validate(tree) == spec
    assert [(cell["search.batch_size"], cell["finetune.batch_size"]) for cell in spec.cells] == [(32, 64), (64, 64)]
    error = trial_error(InputError("too many", key="finetune.epochs"), read(file)[1], 0)
    assert (error.line, error.key) == (7, "parameters.search.epochs, finetune.epochs")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[64, 64]]", "[64, 0]]", "finetune.batch_size: input should be greater than"),
        ('"search.epochs, finetune.epochs": [20, 40]', '"search.epochs, finetune.epochs": [20, 20]', "may be one of"),
        ("search.lr: 1e-3}", "search.lr: 1e-3}, {search.lr: 1e-3}", "stands twice"),
        ("trials: 3", "trials: 2", "need `trials: 3` or more"),
        ("{name: tpe, n_startup_trials: 3}", "grid", "give `values`, not a range"),
        ("search.lr: {min", '"search.micro_batch, finetune.lr": {values: [[64, 0.1]]}\n  search.lr: {min', "is above"),
    ],
)
def test_what_the_space_cannot_be_is_refused(file: Path, old: str, new: str, words: str) -> None:
    assert old in ZIPPED
    file.write_text(ZIPPED.replace(old, new))
    with pytest.raises(InputError, match=words):
        load_sweep(file)


def test_name_and_storage_come_from_the_command_line_last(file: Path) -> None:
    spec = load_sweep(file, ["name=x"], name="other", storage="/elsewhere")
    assert (spec.name, spec.storage) == ("other", "/elsewhere")


def test_a_parameter_is_suggested_after_what_its_condition_names(file: Path) -> None:
    order = list(suggestion_order(load_sweep(file).parameters))
    assert order == ["search.pmim.mode", "search.pmim.start", "search.eliminations_per_epoch"]


def test_a_trial_spec_takes_cell_and_parameters(file: Path) -> None:
    spec = load_sweep(file)
    trial = spec.trial(spec.cells[3], {"search.pmim.mode": "off"})
    assert (trial.search.mask, trial.seed, trial.search.pmim.mode, trial.search.epochs) == ("importance", 1, "off", 3)


def test_an_error_of_a_trial_is_placed_at_the_budget_that_causes_it(file: Path) -> None:
    source = read(file)[1]
    error = trial_error(InputError("too small", key="budget"), source, 1)
    assert (error.file, error.line, error.key) == (str(file), 3, "budgets.1")
    error = trial_error(InputError("unknown", key="model.name"), read(file, ["model.name=x"])[1], 0)
    assert (error.file, error.line, error.key) == ("--set", None, "model.name")


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_sweep_is_valid_and_named_as_its_file(path: Path) -> None:
    spec = load_sweep(path)
    assert spec.name == path.stem
    assert spec.question


def test_an_explored_key_makes_the_optional_section_above_it(file: Path) -> None:
    """`distill` is null by default: to explore its share is to distil, as `--set finetune.distill.share` does."""
    text = TEXT.replace("search.mask: [both, importance]", "finetune.distill.share: [0.25, 0.75]")
    file.write_text(text)
    spec = load_sweep(file)
    distills = [spec.trial(cell, {}).finetune.distill for cell in spec.cells[:3]]
    assert [distill.share for distill in distills if distill] == [0.25, 0.25, 0.75]


@pytest.mark.parametrize(("condition", "fits"), [("", False), (", when: {search.batch_size: [64]}", True)])
def test_two_parameters_that_contradict_each_other_need_a_condition(file: Path, condition: str, fits: bool) -> None:
    sizes = "  search.batch_size: {values: [32, 64]}\n"
    file.write_text(TEXT + f"\nparameters:\n{sizes}  search.micro_batch: {{values: [16, 64]{condition}}}\n")
    file.write_text(file.read_text().replace(TEXT[TEXT.index("parameters:") : TEXT.index("trials:")], "", 1))
    if fits:
        load_sweep(file)
    else:
        with pytest.raises(InputError, match="micro_batch 64 is above batch_size 32: exclude it"):
            load_sweep(file)


def test_a_level_that_an_override_made_is_not_blamed_on_the_file(file: Path) -> None:
    with pytest.raises(InputError, match=r"^--set: search.distil: unknown key.*did you mean 'distill'"):
        load_sweep(file, ["search.distil.share=0.2"])


@pytest.mark.parametrize(
    ("written", "kind"), [(True, "crop_flip"), (False, "none"), ("imagenet", "imagenet"), ({"kind": "none"}, "none")]
)
def test_augment_may_be_a_flag_a_word_or_a_section(written: Any, kind: str) -> None:
    assert DataSpec.model_validate({"augment": written}).augment.kind == kind


def test_a_key_that_grew_longer_is_the_nearest() -> None:
    assert nearest("gpus", ["gpu_tflops", "gpus_per_worker"]) == "; did you mean 'gpus_per_worker'?"
    assert nearest("epoch", ["epochs", "ema"]) == "; did you mean 'epochs'?"
