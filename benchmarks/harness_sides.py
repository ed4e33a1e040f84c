"""One side of `benchmarks.harness`, in a process of its own so that memory and imports are comparable.

    python -m benchmarks.harness_sides ofb_ray|tune [--trials 300 --sampler gp --reuse 1]
    python -m benchmarks.harness_sides digits [--set KEY=VALUE ...]

The trials of the first two only report, the same numbers for the same suggestion. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.harness_trial import SPACE, values

SLOTS = 2
Calls = list[tuple[float, float]]
DIGITS = Path(__file__).parent.parent / "sweeps" / "digits.yaml"
SWEEP = {
    "name": "harness",
    "model": {"args": {"img_size": 8, "patch_size": 4, "embed_dim": 64, "depth": 4, "num_heads": 4}},
    "budgets": [0.5],
    "parameters": {key: {"min": low, "max": high, "log": True} for key, (low, high) in SPACE.items()},
    "resources": {"cpus_per_worker": 1, "concurrent": SLOTS},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["ofb_ray", "tune", "digits"])
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--sampler", default="gp")
    parser.add_argument("--reuse", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        if args.side == "ofb_ray":
            found = ofb_ray(Path(folder), args.trials, args.sampler, bool(args.reuse))
        elif args.side == "tune":
            found = plain_tune(folder, args.trials, args.sampler, bool(args.reuse))
        else:
            found = digits(Path(folder), args.set)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"driver_mib": rss, "cpu_seconds": time.process_time(), **found}))


def ofb_ray(folder: Path, trials: int, sampler: str, reuse: bool) -> dict[str, Any]:
    """A sweep by this package, as a user gets it: journal, trial folders, records and TensorBoard on the disk."""
    import ray
    from ray import tune

    from ofb_ray.tuning.execute import execute
    from ofb_ray.tuning.optuna.study import Suggestions
    from ofb_ray.tuning.prepare import prepare

    (folder / "harness.yaml").write_text(json.dumps({**SWEEP, "trials": trials, "sampler": sampler}))
    with contextlib.ExitStack() as stack:
        started, suggested = (stack.enter_context(timed(*each)) for each in ((ray, "init"), (Suggestions, "next")))
        if not reuse:
            config = tune.TuneConfig
            fresh = mock.patch.object(tune, "TuneConfig", lambda **given: config(**{**given, "reuse_actors": False}))
            stack.enter_context(fresh)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        start = time.perf_counter()
        function = "benchmarks.harness_trial:run_trial"
        assert not execute(prepare(folder / "harness.yaml", storage=str(folder), function=function)).interrupted
        took = time.perf_counter() - start
        start = time.perf_counter()
        launch = prepare(folder / "harness.yaml", storage=str(folder), function=function)
        Suggestions.open(launch.index)
        resume = time.perf_counter() - start
    records = len(list((folder / "harness").glob("*/record.json")))
    return {"seconds": took, "resume": resume, "finished": records, **_calls(started, suggested[:trials])}


def plain_tune(folder: str, trials: int, sampler: str, reuse: bool) -> dict[str, Any]:
    """Ray Tune with its stock OptunaSearch: in memory, without loggers."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import logging

    import optuna
    import ray
    from optuna.distributions import FloatDistribution
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    makers: dict[str, Any] = {
        "gp": lambda: optuna.samplers.GPSampler(seed=0),
        "tpe": lambda: optuna.samplers.TPESampler(seed=0, multivariate=True, group=True, constant_liar=True),
        "random": lambda: optuna.samplers.RandomSampler(seed=0),
    }
    with timed(ray, "init") as started, timed(OptunaSearch, "suggest") as suggested:
        start = time.perf_counter()
        quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        ray.init(address="local", num_cpus=os.cpu_count(), include_dashboard=False, **quiet)
        space = {key: FloatDistribution(low, high, log=True) for key, (low, high) in SPACE.items()}
        search = OptunaSearch(space, metric=["top1_val", "macs"], mode=["max", "min"], sampler=makers[sampler]())  # type: ignore[arg-type]
        tuner = tune.Tuner(
            tune.with_resources(_trainable, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=search, num_samples=trials, max_concurrent_trials=SLOTS, reuse_actors=reuse
            ),
            run_config=tune.RunConfig(name="plain", storage_path=folder, verbose=0),
        )
        results = tuner.fit()
        ray.shutdown()
        took = time.perf_counter() - start
    return {"seconds": took, "finished": len(results), **_calls(started, suggested[:trials])}


def _trainable(config: dict[str, Any]) -> None:
    from ray import tune

    top1, macs = values([config[key] for key in SPACE])
    tune.report({"top1_val": top1, "macs": macs})


def digits(folder: Path, settings: list[str]) -> dict[str, Any]:
    """The digits sweep by its command; when what was at work, in seconds of the wall clock."""
    import ray

    from ofb_ray import cli
    from ofb_ray.tuning.optuna.study import Suggestions

    line = ["sweep", str(DIGITS), "--storage", str(folder), "--trial-function", "benchmarks.harness_trial:digits_trial"]
    with (
        timed(ray, "init") as started,
        timed(Suggestions, "next") as suggested,
        timed(cli, "print_results") as finish,
        contextlib.redirect_stdout(sys.stderr),
    ):
        assert cli.main([*line, *(f"--set={text}" for text in settings)]) == 0
    trials = [json.loads(path.read_text()) for path in sorted(folder.glob("digits/*/times.json"))]
    return {"trials": trials, "finish": finish[0][1], "ray_begin": started[0][0], **_calls(started, suggested)}


def _calls(started: Calls, suggested: Calls) -> dict[str, Any]:
    tenth, begins = max(1, len(suggested) // 10), [begin for begin, _ in suggested]
    # Seconds a trial in the first, the middle and the last tenth.
    places = (0, (len(begins) - tenth) // 2, len(begins) - tenth - 1)
    pace = [(begins[place + tenth] - begins[place]) / tenth for place in places] if len(begins) > tenth else []
    return {"ray_start": started[0][1], "pace": pace, "suggestions": [seconds for _, seconds in suggested]}


@contextlib.contextmanager
def timed(owner: Any, name: str) -> Iterator[Calls]:
    """Of each call of `owner.name`: when it began by the wall clock, and its seconds."""
    function = getattr(owner, name)
    calls: Calls = []

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        begin, start = time.time(), time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            calls.append((begin, time.perf_counter() - start))

    setattr(owner, name, call)
    try:
        yield calls
    finally:
        setattr(owner, name, function)


if __name__ == "__main__":
    main()
