"""Help texts. The README's table of verbs is compared with `VERBS` by a test."""

from __future__ import annotations

#: Verb -> one line.
VERBS: dict[str, str] = {
    "run": "everything: search, full training of the picks, evaluation, export, report",
    "explore": "the search alone; the same study.name goes on to the (possibly larger) budget",
    "distill": "the full recipe for study.name=NAME trial=N, an architecture or a baseline",
    "evaluate": "score a saved model directory (model=DIR) on the task",
    "latency": "time a saved model (model=DIR), an architecture or the baselines",
    "export": "write a saved model directory (model=DIR) in the chosen formats, with parity",
    "report": "terminal table and HTML page of a study, also while it runs",
    "plan": "what `run` would do, what it costs and, of a study that exists, what is left",
    "plugins": "list every component and what failed to load",
    "studies": "list the studies of a storage, or show one (study.name=NAME)",
}

_EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "autodistill run                                   # the quickstart",
        "autodistill run experiment=quickstart budget.trials=20 search=random",
        "autodistill run data=text_classification data.train=train.tsv data.test=dev.tsv "
        "'data.text_columns=[sentence]' data.label_column=label teacher.path=DIR",
        "autodistill run -m experiment=quickstart search=random,botorch seed=0,1",
    ),
    "explore": ("autodistill explore experiment=quickstart study.name=wide budget.trials=40",),
    "distill": (
        "autodistill distill study.name=quickstart trial=3",
        "autodistill distill experiment=quickstart "
        "'architecture={family: bert, choices: {num_layers: 2, hidden_size: 384, num_heads: 12, "
        "intermediate_size: 768}}'",
        "autodistill distill experiment=quickstart 'baseline=[tinybert_4l]'",
    ),
    "evaluate": ("autodistill evaluate experiment=quickstart model=outputs/quickstart/picks/N/hf",),
    "latency": (
        "autodistill latency experiment=quickstart model=outputs/quickstart/picks/N/hf",
        "autodistill latency experiment=quickstart 'baseline=[tinybert_4l,minilm_6l]' 'latency=[torch,onnxruntime]'",
    ),
    "export": ("autodistill export experiment=quickstart model=outputs/quickstart/picks/N/hf 'export=[onnx]'",),
    "report": ("autodistill report study.name=quickstart",),
    "plan": ("autodistill plan experiment=quickstart budget.trials=100",),
    "plugins": ("autodistill plugins", "autodistill plugins --check   # exit code 1 when a plugin is broken"),
    "studies": ("autodistill studies", "autodistill studies study.name=quickstart"),
}

_NOTES: dict[str, tuple[str, ...]] = {
    "distill": (
        "A trial or an architecture that is trained by hand is scored on the select split alone; a baseline is",
        "compared on the test split by the next `autodistill run study.name=NAME`.",
    ),
    "evaluate": (
        "A model without a head for the task is fine-tuned first, which may take hours: at each point of a grid (by",
        "default 3 learning rates), and at the best one with 3 seeds, 5 for small tasks of GLUE; see fine_tuning.*.",
    ),
    "latency": (
        "what is timed, beside the teacher:",
        "  model=DIR, architecture={...}, timing.subjects=[DIR,tinybert_4l,...]; without any of them the baselines",
        "  timing.batch_sizes=[1,8] timing.lengths=[32,128]   every pair, instead of the backends' own workloads",
    ),
    "plugins": (
        "environment (of every verb):",
        "  AUTODISTILL_BLOCK_PLUGINS=NAME,NAME   plugins that are never loaded",
        "  AUTODISTILL_TRACE_PLUGINS=1           every hook call as a line on stderr",
    ),
}


def general_help() -> str:
    """The text of ``autodistill --help``."""
    width = max(map(len, VERBS))
    return "\n".join(
        [
            "usage: autodistill VERB [overrides]",
            "",
            "Give it a teacher, a target and a budget: it searches student architectures by accuracy and measured",
            "latency, trains the best in full, exports them and proves it in one report.",
            "",
            "verbs:",
            *(f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items()),
            "",
            "Overrides are Hydra's: KEY=VALUE, GROUP=NAME, GROUP=[NAME,NAME], +KEY=VALUE, ~KEY. For every verb but",
            "`plugins`: --cfg job shows the configuration, --info how it was composed, -m runs a sweep (KEY=A,B).",
            "autodistill VERB --help shows examples; autodistill --version the version.",
            "",
            "exit codes: 0; 1 a failure; 2 your mistake, in one paragraph; 130 interrupted.",
        ]
    )


def verb_help(verb: str) -> str:
    """The text of ``autodistill VERB --help``."""
    arguments = "[--check]" if verb == "plugins" else "[overrides] [--cfg job] [--info] [-m]"
    examples = "\n".join(f"  {example}" for example in _EXAMPLES[verb])
    notes = "".join(f"\n{line}" for line in ("", *_NOTES[verb])) if verb in _NOTES else ""
    return f"usage: autodistill {verb} {arguments}\n\n{VERBS[verb]}\n\nexamples:\n{examples}{notes}"
