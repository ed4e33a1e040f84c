"""`ofb-ray latency SWEEP --table FILE`: measures on this machine what the sizes of a sweep's network cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from ofb_ray.config.shipped import find_sweep
from ofb_ray.errors import InputError
from ofb_ray.inputs import user_path


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the file, and say how far it can be trusted."""
    if len(arguments.places) != 1:
        raise InputError("a table is of one network: give one sweep", key="--table")
    for flag in ("batch", "backend", "threads", "seconds"):
        if getattr(arguments, flag) is not None:
            raise InputError(f"is the sweep's with --table: --set 'latency={{{flag}: ...}}'", key=f"--{flag}")
    out: Path = user_path(arguments.table, "--table")
    find_sweep(arguments.places[0])
    from ofb_ray.backbones import describe_backbone
    from ofb_ray.config import LatencySpec
    from ofb_ray.config.load import load_with_origins
    from ofb_ray.export.command import Line
    from ofb_ray.trial.latency import make_table
    from ofb_ray.trial.plan import meta_network, resolve_model
    from ofb_ray.tuning.console.steps import step

    spec, origins = load_with_origins(arguments.places[0], arguments.set)
    with origins.located():
        trial = spec.trial(spec.cells[0], {})
        with step("loading the network"):
            model = resolve_model(trial)
            backbone = describe_backbone(meta_network(model), trial.search.space)
        try:
            with Line() as line:
                table = make_table(out, spec.latency or LatencySpec(), model, backbone, line.hint)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", file=str(out), key="--table") from None
    errors = (100 * (error or 0.0) for error in (table.typical_error, table.large_error))
    off = "error on others {:.1f} % (median), {:.1f} % (90 %)".format(*errors)
    print(f"{out}: {table.model}, {table.backend} on {table.device_name}, batch {table.batch}, {table.threads} threads")
    print(f"dense {table.dense_ms:.3g} ms; {table.networks} networks in {table.seconds:.0f} s; {off}")
    print(f"use it: --set 'latency={{table: {out}}}' with budgets such as {{latency: 0.5}}")
    return 0
