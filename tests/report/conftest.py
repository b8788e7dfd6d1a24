"""A realistic summary of a finished study, and one of a study that has only begun."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

METRIC = "classification.accuracy"
BACKENDS = (("onnxruntime", 1, 1.0), ("onnxruntime_batch8", 8, 6.1))
TEACHER_MS = 11.4


def metric(value: float, half: float = 0.011, seeds: int = 1, split: str = "test", n: int = 1821) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n, "seeds": seeds, "split": split}


def latency(label: str, batch: int, median: float, measured: bool = True) -> dict[str, Any]:
    return {
        "backend": label.split("_")[0],
        "kind": "measured" if measured else "composed",
        "precision": "fp32",
        "workload": {"batch_size": batch, "lengths": [9, 14, 19, 27, 41], "precision": "fp32", "threads": 1},
        "unit": "ms",
        "median": median,
        "n": 400 if measured else None,
        "p90": median * 1.09,
        "p99": median * 1.31 if measured else None,
        "relative_half_width": 0.014 if measured else 0.05,
        "throughput": 1000 * batch / median,
        "peak_memory_bytes": 48_000_000,
        "device": "Intel Xeon Platinum 8488C",
        "threads": 1,
        "versions": {"onnxruntime": "1.23.0"},
        "ratio_to_reference": median / TEACHER_MS,
        "artifact_sha256": "ab" * 32,
    }


def latencies(median: float, measured: bool = True) -> dict[str, Any]:
    return {label: latency(label, batch, median * factor, measured) for label, batch, factor in BACKENDS}


def throughput_objective(summary: dict[str, Any], metric: str = "throughput_at_p99") -> dict[str, Any]:
    """The summary of a study that maximises a throughput of batch 8, under a load."""
    rows = [
        summary["teacher"],
        *(row for kind in ("references", "baselines", "picks", "history") for row in summary[kind]),
    ]
    for row in rows:
        if row["latencies"]:
            report = row["latencies"]["onnxruntime_batch8"]
            report |= {"throughput_at_p99": 0.7 * report["throughput"], "loaded_p99_ms": 3 * report["median"]}
    summary["objectives"][1] = {"label": "served", "metric": f"onnxruntime_batch8.{metric}", "direction": "maximize"}
    return summary


def choices(layers: int, hidden: int) -> dict[str, Any]:
    return {
        "layers": layers,
        "hidden_size": hidden,
        "attention_heads": hidden // 32,
        "intermediate_size": 3 * hidden,
        "embedding_size": 128,
    }


def parameters(layers: int, hidden: int) -> int:
    return 128 * 30522 + 128 * hidden + layers * (4 * hidden * hidden + 6 * hidden * hidden)


def milliseconds(layers: int, hidden: int) -> float:
    return float(0.12 + layers * (0.035 + 1.62 * (hidden / 384) ** 1.7) * 0.95)


def quality(layers: int, hidden: int, noise: float, ceiling: float) -> float:
    return ceiling - 0.19 * math.exp(-0.42 * layers) - 0.16 * math.exp(-hidden / 110) + noise


def history(trials: int) -> list[dict[str, Any]]:
    generator = random.Random(7)
    rows = []
    for number in range(trials):
        layers, hidden = generator.choice((1, 2, 3, 4, 5, 6)), generator.choice((64, 96, 128, 192, 256, 320, 384))
        milli = milliseconds(layers, hidden)
        state = "infeasible" if milli > 8 else generator.choices(("complete", "stopped"), (9, 1))[0]
        score = quality(layers, hidden, generator.gauss(0, 0.008), 0.868) - (0.05 if state == "stopped" else 0)
        scored = state in ("complete", "stopped")
        rows.append(
            {
                "trial": number,
                "origin": "search",
                "name": None,
                "state": state,
                "architecture": choices(layers, hidden),
                "family": "bert",
                "metrics": {"size.parameters": {"value": parameters(layers, hidden)}}
                | ({METRIC: {"value": score, "variance": 6e-5}} if scored else {}),
                "latencies": latencies(milli, measured=False),
                "seconds": None if state == "infeasible" else 21.0 + 4 * layers,
                "error": None,
                "began_training": scored,
                "stopped_at": 0.25 if state == "stopped" else None,
            }
        )
    return rows


def non_dominated(rows: list[dict[str, Any]]) -> list[int]:
    points = [
        (row["trial"], row["latencies"]["onnxruntime"]["median"], row["metrics"][METRIC]["value"])
        for row in rows
        if row["state"] == "complete"
    ]
    return [
        trial
        for trial, x, y in points
        if not any(other_x <= x and other_y >= y and (other_x, other_y) != (x, y) for _, other_x, other_y in points)
    ]


def student(name: str, trial: int, layers: int, hidden: int, final: float, flash: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "trial": trial,
        "family": "bert",
        "architecture": choices(layers, hidden),
        "parameters": parameters(layers, hidden),
        "initialisation": "embeddings exact; attention reduced; feed-forward reduced; classifier random",
        "layer_maps": "1→2, 2→4, 3→6",
        "flash": None if flash is None else {METRIC: metric(flash, 0.016, split="select", n=2000)},
        "final": {
            METRIC: metric(final, seeds=3),
            "classification.macro_f1": metric(final - 0.003, seeds=3),
            "teacher_agreement.agreement": metric(final + 0.021, seeds=3),
            f"select/{METRIC}": metric(final + 0.002, split="select", n=2000),
        },
        "latencies": latencies(milliseconds(layers, hidden)),
    }


def versus(pick: dict[str, Any], other: dict[str, Any], value: float, teacher: float) -> dict[str, Any]:
    own = pick["final"][METRIC]["value"]
    mine, theirs = (row["latencies"]["onnxruntime"]["median"] for row in (pick, other))
    return {
        "gain": metric(own - value, 0.009, seeds=3),
        "retained": own / teacher,
        "speedup": theirs / mine,
        "parameter_ratio": pick["parameters"] / other["parameters"],
    }


def row(name: str, size: int | None, value: float, median: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "parameters": size,
        "metrics": {METRIC: metric(value)},
        "latencies": {} if median is None else latencies(median),
    }


def export(trial: int, name: str, size: int, difference: float) -> dict[str, Any]:
    return {
        "format": name,
        "path": f"picks/{trial}/{name}/model.onnx",
        "sha256": "5f" * 32,
        "bytes": size,
        "parity": {
            "max_abs_difference": difference,
            "max_relative_difference": difference,
            "same_prediction": 1.0 if difference < 0.1 else 0.992,
            "n": 256,
            "tolerance": 1e-4 if difference < 1e-4 else 0.5,
        },
    }


def build_summary(trials: int = 48) -> dict[str, Any]:
    """A full, schema-valid summary of a finished study with plausible numbers."""
    study = "reviews"
    rows = history(trials)
    rows[3] |= {"state": "failed", "error": "The loss became nan at step 31; nothing was kept of the run."}
    rows[3]["metrics"].pop(METRIC, None)
    teacher = row("teacher", 22_713_986, 0.914, TEACHER_MS)
    references = [row("teacher_int8", 22_713_986, 0.909, 4.9), row("tfidf_linear", None, 0.802, None)]
    baselines = [
        student("teacher_truncated_3l", 1001, 3, 384, 0.868, 0.828),
        student("uniform_scaling_1l", 1002, 1, 256, 0.801, 0.752),
        student("uniform_scaling_2l", 1003, 2, 288, 0.843, 0.801),
        student("uniform_scaling_4l", 1004, 4, 352, 0.881, 0.838),
        student("tinybert_4l", 1005, 4, 312, 0.872, 0.831),
    ]
    picks = [
        student("pick 12", 12, 6, 256, 0.896, 0.851),
        student("pick 31", 31, 4, 192, 0.879, 0.842),
        student("pick 40", 40, 2, 128, 0.842, 0.789),
    ]
    for pick in picks:
        others = [(teacher, 0.914), *((line, line["final"][METRIC]["value"]) for line in baselines)]
        pick["versus"] = {other["name"]: versus(pick, other, value, 0.914) for other, value in others}
        pick["paths"] = {"hf": f"picks/{pick['trial']}/hf"}
        pick["exports"] = [
            export(pick["trial"], "onnx", 4 * pick["parameters"], 3.1e-6),
            export(pick["trial"], "onnx_int8", pick["parameters"], 0.21),
        ]
    states = [line["state"] for line in rows]
    hypervolume = [0.55 * (1 - math.exp(-0.09 * (tell // 3 * 3 + 1))) for tell in range(trials)]
    return {
        "schema": 1,
        "study": study,
        "task": {"kind": "classification", "labels": ["negative", "positive"], "metric": METRIC, "label_free": False},
        "splits": {"train": 64_349, "select": 2000, "test": 1821},
        "seconds": {
            "teacher": 312.0,
            "teacher_cache": 96.0,
            "explore": 1544.0,
            "latency": 212.0,
            "distill": 4210.0,
            "evaluate": 61.0,
            "export": 38.0,
        },
        "cost": {
            "explore": {"examples": 614_400, "flops": 3.1e15, "device_seconds": 1544.0},
            "picks": {"examples": 2_304_000, "flops": 9.4e15, "device_seconds": 2010.0},
            "baselines": {"examples": 3_840_000, "flops": 1.9e16, "device_seconds": 2200.0},
        },
        "objectives": [
            {"label": "accuracy", "metric": METRIC, "direction": "maximize"},
            {"label": "latency", "metric": "onnxruntime.p50_ms", "direction": "minimize"},
        ],
        "constraints": [{"label": "latency", "metric": "onnxruntime.p50_ms", "sense": "<=", "bound": 8.0}],
        "trials": {state: states.count(state) for state in ("complete", "stopped", "infeasible", "failed")},
        "hypervolume": hypervolume[-1],
        "hypervolume_reference": {METRIC: 0.5, "onnxruntime.p50_ms": 8.0},
        "pareto": non_dominated(rows),
        "final_pareto": [12, 31, 40],
        "teacher": teacher,
        "references": references,
        "baselines": baselines,
        "picks": picks,
        "verdict": {
            "claim": "pick 12 beats the strongest baseline, uniform_scaling_4l.",
            "holds": True,
            "baseline": "uniform_scaling_4l",
            "equal_compute": {
                "claim": "At equal total compute the search has 21 trials: pick 31 does not beat uniform_scaling_4l.",
                "holds": False,
                "budget_flops": 4.1e15,
                "spent_flops": 9.3e15,
                "trials": 21,
                "pick": 31,
                "baseline": "uniform_scaling_4l",
                "gain": metric(-0.004),
            },
        },
        "checks": [
            {"name": "truncated inputs, test", "found": "57 of 1821", "alarm": None},
            {"name": "tinybert_4l against the trivial answer", "found": "0.558, trivial 0.557", "alarm": "No better."},
        ],
        "flash_fidelity": {"spearman": 0.905, "kendall": 0.786, "n": 8},
        "history": rows,
        "hypervolume_curve": hypervolume,
        "alarms": ["3.1 % of the test examples were truncated to 128 tokens; raise data.max_length if it matters."],
        "notes": {"dropped_near_duplicates": 12, "majority_class_share": 0.557, "median_tokens": 19},
        "plan": {"trials": trials, "flash": {"steps": 200, "fidelity": 0.05}},
        "config": {
            "seed": 0,
            "output_dir": "outputs",
            "storage": {"url": "postgresql://ada:lovelace1815@db.example/studies"},
            "search": {"name": "botorch", "warmup": 12},
            "loss": {"logits": {"name": "logits_kl"}},
        },
        "space": {"parameters": 4, "feasible_architectures": 340, "standard_error": 0},
        "environment": {"cpu": "Intel Xeon Platinum 8488C", "cores": 2, "gpu": None, "os": "Linux 6.8"},
        "versions": {"autodistill": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "command": "autodistill explore study.name=reviews budget.trials=96",
        "pruning": savings(states.count("stopped")),
        "pareto_sets": pareto_sets(rows),
        "analytics": analytics(rows, hypervolume),
    }


def savings(stopped: int) -> dict[str, Any]:
    share = 0.75 * stopped / (0.75 * stopped + 40)
    return {"stopped": stopped, "examples": 9600.0 * stopped, "flops": 1e13, "device_seconds": 60.0} | {
        "share_of_examples": share
    }


def pareto_sets(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        label: {
            "metric": f"{label}.p50_ms",
            "is_objective": label == "onnxruntime",
            "trials": non_dominated(rows),
            "final": [12, 31, 40],
            "hypervolume": 0.54 - 0.1 * place,
            "hypervolume_reference": {"accuracy": 0.5, label: 8.0},
        }
        for place, (label, _, _) in enumerate(BACKENDS)
    }


def analytics(rows: list[dict[str, Any]], hypervolume: list[float]) -> dict[str, Any]:
    generator = random.Random(11)
    trained = [row for row in rows if row["state"] in ("complete", "stopped", "failed")]
    scored = [row["metrics"][METRIC]["value"] for row in rows if row["state"] == "complete"]
    seconds = [21.0 + 4 * row["architecture"]["layers"] for row in trained]
    points = [
        {"observed": value, "predicted": value + generator.gauss(0, 0.009), "deviation": 0.011} for value in scored
    ]
    shares = {"layers": 0.58, "hidden_size": 0.31, "attention_heads": 0.05, "intermediate_size": 0.02}
    return {
        "hypervolume": {
            "trial": [row["trial"] for row in trained],
            "device_seconds": [sum(seconds[: place + 1]) for place in range(len(trained))],
            "examples": [12_800.0 * (place + 1) for place in range(len(trained))],
            "value": hypervolume[: len(trained)],
        },
        "importance": [
            {
                "label": label,
                "metric": metric,
                "n": 42,
                "reason": None,
                "explained": 0.87,
                "parameters": [
                    {"name": name, "share": share, "low": 0.8 * share, "high": min(1.0, 1.25 * share)}
                    for name, share in shares.items()
                ],
            }
            for label, metric in (("accuracy", METRIC), ("latency", "onnxruntime.p50_ms"))
        ],
        "prediction": {
            "metric": METRIC,
            "n": len(points),
            "scored": len(points),
            "reason": None,
            "folds": 20,
            "spearman": 0.93,
            "explained": 0.88,
            "coverage": 0.952,
            "points": points,
        },
    }


def build_partial_summary() -> dict[str, Any]:
    """The summary of a study whose search is still under way: no picks, no baselines, nothing final."""
    full = build_summary(9)
    full["history"].append(full["history"][3] | {"trial": 9, "state": "pending", "metrics": {}, "latencies": {}})
    return full | {
        "seconds": dict.fromkeys(full["seconds"], 0) | {"explore": 211.5},
        "cost": {kind: {"examples": 0, "flops": 0, "device_seconds": 0} for kind in ("explore", "picks", "baselines")},
        "hypervolume": None,
        "final_pareto": [],
        "teacher": {"name": "teacher", "parameters": None, "metrics": {}, "latencies": {}},
        "references": [],
        "baselines": [],
        "picks": [],
        "verdict": {"claim": "The study has no picks yet.", "holds": None, "baseline": None},
        "flash_fidelity": {"spearman": None, "kendall": None, "n": 0},
        "hypervolume_curve": [],
        "alarms": [],
        "pruning": savings(0),
        "pareto_sets": {
            label: found | {"trials": [], "final": [], "hypervolume": None}
            for label, found in full["pareto_sets"].items()
        },
        "analytics": {
            "hypervolume": None,
            "importance": [
                entry
                | {"n": 8, "explained": None, "parameters": [], "reason": "8 architectures are too few; 10 are needed."}
                for entry in full["analytics"]["importance"]
            ],
            "prediction": None,
        },
    }


def build_bare_summary() -> dict[str, Any]:
    """The least that the schema allows, without any of the further keys."""
    partial = build_partial_summary()
    further: tuple[str, ...] = (
        "history",
        "hypervolume_curve",
        "alarms",
        "checks",
        "notes",
        "space",
        "plan",
        "config",
        "environment",
        "versions",
    )
    further += ("pruning", "pareto_sets", "analytics")
    return {key: value for key, value in partial.items() if key not in (*further, "command")}


@pytest.fixture
def summary() -> dict[str, Any]:
    return build_summary()


@pytest.fixture
def partial_summary() -> dict[str, Any]:
    return build_partial_summary()


@pytest.fixture
def bare_summary() -> dict[str, Any]:
    return build_bare_summary()


@pytest.fixture
def poisoned() -> Callable[[dict[str, Any], str], dict[str, Any]]:
    """Return a function that appends a text to every string of a summary that names or describes something."""

    def poison(value: Any, text: str) -> Any:
        if isinstance(value, dict):
            return {key: poison(entry, text) for key, entry in value.items()}
        if isinstance(value, list):
            return [poison(entry, text) for entry in value]
        return f"{value}{text}" if isinstance(value, str) else value

    def poison_summary(summary: dict[str, Any], text: str) -> dict[str, Any]:
        clean = copy.deepcopy(summary)
        kept = ("objectives", "pareto_sets", "task")  # these say where values stand
        return {key: clean[key] if key in kept else poison(clean[key], text) for key in clean}

    return poison_summary
