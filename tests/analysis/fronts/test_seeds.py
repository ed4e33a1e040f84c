"""Which trials are one setting run with several seeds, and what the seeds say."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from analysis.fronts.budgets import best_setting, budgets, dense_networks
from analysis.fronts.front_data import FrontData, front_data
from analysis.fronts.objectives import objective
from analysis.fronts.seeds import experiments, most_seeds, pooled, settings, spread, treatment
from analysis.fronts.selected_table import behind, escape, markdown, rows
from analysis.pareto import front_table
from analysis.trials.read import read
from ofb_ray.results.records import Record
from tests.analysis.factory import failed, record, write, write_trial_file

DATA = {"data": {"name": "digits", "root": "/a"}, "search": {"one_hot_weight": 0.5, "epochs": 30}}


def repeated(ratio: float = 0.5, tops: tuple[float, ...] = (97.0, 98.0, 99.0), first: int = 0) -> list[Record]:
    """One setting run with a seed for each of these top-1 val, without a sampler."""
    return [
        record(first + seed, ratio, top1, seed=seed, params_explored={}, spec={**DATA, "seed": seed})
        for seed, top1 in enumerate(tops)
    ]


def suggested(seed: int, tops: tuple[float, ...], spec: dict[str, object] | None = None) -> list[Record]:
    """A sweep of one seed in which a sampler suggested other parameters for each trial."""
    draw = random.Random(seed)
    return [
        record(
            number,
            0.5,
            top1,
            seed=seed,
            sweep=f"digits-{seed}",
            params_explored={"search.one_hot_weight": (weight := draw.random())},
            spec={**(spec or DATA), "search": {"one_hot_weight": weight, "epochs": 30}, "seed": seed},
        )
        for number, top1 in enumerate(tops)
    ]


def default(folder: Path | list[Path]) -> FrontData:
    """Held-out top-1 over MACs."""
    results = read(folder if isinstance(folder, list) else [folder])
    return front_data(results, objective("macs", results), objective("top1_val", results))


def test_mean_deviation_and_interval_by_hand() -> None:
    found = spread([97.0, 98.0, 99.0, None, float("nan")])
    assert found is not None
    # Squares of the deviations 1 + 0 + 1 over n - 1 = 2: 1. t(0.975, 2) = 4.3027; 4.3027 / sqrt(3) = 2.4841.
    assert (found.mean, found.deviation, found.n) == (98.0, 1.0, 3)
    assert found.interval == pytest.approx(2.4841, abs=1e-4)
    one = spread([97.0])
    assert one is not None
    assert one.deviation is None
    assert one.interval is None
    assert spread([None]) is None


def test_trials_that_differ_in_the_seed_only_are_one_setting(tmp_path: Path) -> None:
    results = read([write(tmp_path, [*repeated(0.5), *repeated(0.25, (90.0, 91.0), 3)])])
    found = {setting.name: [trial.number for trial in setting.trials] for setting in settings(results)}
    assert found == {"0.5": [0, 1, 2], "0.25": [3, 4]}
    assert "differ in the seed only" in treatment(settings(results))
    selected = rows(results)[2]
    assert [cells[1] for cells in selected] == ["2 seeds", "3 seeds"]
    assert selected[1][7] == "98.00 ± 1.00"
    assert behind(results) == ["0.25: 3, 4", "0.5: 0, 1, 2"]


def test_suggested_parameters_are_no_settings_but_each_seeds_selected_trial_is(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / f"s{seed}", suggested(seed, (96.0 + seed, 97.0 + seed, 95.0)), name=f"digits-{seed}")
        for seed in range(3)
    ]
    results = read(folders)
    assert set(experiments(results).values()) == {""}
    assert pooled(results) == "One experiment, but for the seeds: digits-0, digits-1, digits-2."
    (setting,) = settings(results)
    assert [str(trial.name) for trial in setting.trials] == ["digits-0/1", "digits-1/1", "digits-2/1"]
    assert setting.chosen
    assert "selected trial of each seed" in treatment([setting])
    assert [budget.label for budget in budgets(results)] == ["0.5"]
    assert "Trials behind the means: 0.5: digits-0/1, digits-1/1, digits-2/1." in markdown(results)
    (mean,) = default(folders).means
    assert (mean.y.mean, mean.on_front, mean.selected) == (98.0, True, True)


def test_suggestions_that_every_seed_repeats_stay_settings(tmp_path: Path) -> None:
    trials = [
        record(2 * seed + number, 0.5, 97.0 + seed, seed=seed, params_explored={"search.lr": rate})
        for seed in range(2)
        for number, rate in enumerate((0.1, 0.2))
    ]
    found = settings(read([write(tmp_path, trials)]))
    assert [[trial.number for trial in setting.trials] for setting in found] == [[0, 2], [1, 3]]
    assert not any(setting.chosen for setting in found)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (suggested(0, (97.0,)), "the same seed"),
        (suggested(1, (97.0,), {**DATA, "data": {"name": "cifar10"}}), "other data"),
        ([record(0, 0.5, 97.0, seed=1, spec=DATA, params_explored={})], "nothing explored"),
        ([failed(0, dense=None)], "no result yet"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sweeps_that_are_not_one_experiment_stay_apart(tmp_path: Path, other: list[Record], name: str) -> None:
    folders = [
        write(tmp_path / "a", suggested(0, (97.0,)), name="a"),
        write(tmp_path / "b", other, name="b"),
    ]
    assert list(experiments(read(folders)).values()) == ["a", "b"], name
    assert pooled(read(folders)) == ""


def test_the_same_data_elsewhere_are_the_same_experiment(tmp_path: Path) -> None:
    moved = {**DATA, "data": {"name": "digits", "root": "/b"}}
    folders = [
        write(tmp_path / "a", suggested(0, (97.0,)), name="a"),
        write(tmp_path / "b", suggested(1, (98.0,), moved), name="b"),
    ]
    assert set(experiments(read(folders)).values()) == {""}


def test_a_mean_of_few_seeds_is_not_selected_over_one_of_many(tmp_path: Path) -> None:
    lucky = [
        record(9, 0.5, 99.9, seed=0, params_explored={}, spec={**DATA, "seed": 0}),
    ]
    folder = write(tmp_path, [*repeated(0.5, (97.0, 97.5)), *lucky])
    write_trial_file(folder, lucky[0], cell={"search.mask": "one"})
    found = settings(read([folder]))
    assert sorted(setting.n for setting in found) == [1, 2]
    assert [setting.n for setting in most_seeds(found)] == [2]
    chosen = best_setting(found)
    assert chosen is not None
    assert chosen.n == 2


def test_a_promoted_trial_is_in_no_mean_of_trials_that_learned_for_less_long(tmp_path: Path) -> None:
    longer = record(3, 0.5, 99.9, seed=1, params_explored={"finetune.epochs": 300}, spec={**DATA, "seed": 1})
    folder = write(tmp_path, [*repeated(0.5), longer])
    write_trial_file(folder, longer, promotes=1, params={"finetune.epochs": 300})
    results = read([folder])
    found = {setting.name: [trial.number for trial in setting.trials] for setting in settings(results)}
    assert found == {"0.5": [0, 1, 2], "0.5, promoted": [3]}
    (budget,) = budgets(results)
    assert budget.setting is not None
    assert not budget.setting.chosen
    assert rows(results)[2][0][7] == "98.00 ± 1.00"


def test_the_setting_is_selected_by_held_out_accuracy(tmp_path: Path) -> None:
    def tried(first: int, val: float, test: float) -> list[Record]:
        subnet = record(0, 0.5, val).subnet
        assert subnet is not None
        told = subnet.model_copy(update={"top1_test": test})
        spec = {"params_explored": {"search.lr": val}, "spec": DATA, "subnet": told}
        return [record(first + seed, 0.5, val, seed=seed, **spec) for seed in range(2)]

    results = read([write(tmp_path, [*tried(0, 97.0, 99.0), *tried(2, 98.0, 90.0)])])
    chosen = best_setting(settings(results))
    assert chosen is not None
    assert [trial.number for trial in chosen.trials] == [2, 3]
    # On a front of test accuracy the selected setting competes alone.
    made = front_data(results, objective("macs", results), objective("top1_test", results))
    assert {mean.y.mean: (mean.on_front, mean.selected) for mean in made.means} == {
        99.0: (False, False),
        90.0: (True, True),
    }


def test_a_budget_selects_within_one_data_set(tmp_path: Path) -> None:
    easy = repeated(0.5, (98.0, 99.0))
    hard = [
        record(2 + n, 0.5, 70.0 + n, seed=n, params_explored={}, spec={"data": {"name": "cifar100"}}) for n in (0, 1)
    ]
    found = budgets(read([write(tmp_path, [*easy, *hard])]))
    assert [(budget.label, budget.best.number) for budget in found if budget.best] == [
        ("cifar100 0.5", 3),
        ("digits 0.5", 1),
    ]
    assert [budget.setting.n for budget in found if budget.setting] == [2, 2]


def test_failed_and_over_budget_seeds_are_not_in_the_mean(tmp_path: Path) -> None:
    trials = [
        *repeated(0.5, (97.0, 98.0)),
        failed(2, 0.5, seed=2, params_explored={}),
        record(3, 0.5, 99.0, macs=600_000, seed=3, params_explored={}),
    ]
    (setting,) = settings(read([write(tmp_path, trials)]))
    assert [trial.number for trial in setting.trials] == [0, 1]


def test_one_seed_has_no_means(tmp_path: Path) -> None:
    results = read([write(tmp_path, [record(0), record(1, 0.25)])])
    assert default(tmp_path).means == []
    assert treatment(settings(results)) == ""
    assert [cells[1] for cells in rows(results)[2]] == ["1", "0"]


def test_the_table_of_trials_carries_the_means_behind_the_contract(tmp_path: Path) -> None:
    made = front_table(read([write(tmp_path, repeated())]), default(tmp_path))
    assert list(made.columns)[:10] == [
        *("trial", "status", "budget", "target_macs", "macs", "params", "top1_val", "top1_test", "seed", "on_front")
    ]
    assert made["seeds"].tolist() == [3, 3, 3]
    assert made["top1_val_mean"].tolist() == [98.0] * 3
    assert made["top1_test_sd"].tolist() == pytest.approx([1.0] * 3)


def test_dense_networks_of_several_seeds_have_a_deviation(tmp_path: Path) -> None:
    trials = [
        each.model_copy(update={"dense": each.dense.model_copy(update={"top1_val": 98.0 + each.seed})})
        for each in repeated()
        if each.dense
    ]
    (dense,) = dense_networks(read([write(tmp_path, trials)]))
    assert (dense.count, dense.top1_val, dense.deviations) == (3, 99.0, (1.0, 0.0))


def test_deviations_are_set_in_latex() -> None:
    assert escape("98.00 ± 1.00") == r"98.00 $\pm$ 1.00"


def test_groups_are_derived_once_for_the_same_results_and_anew_for_others(tmp_path: Path) -> None:
    folder = write(tmp_path, repeated())
    first, second = read([folder]), read([folder])
    assert budgets(first) is budgets(first)
    assert budgets(first) is not budgets(second)
    assert first == second
