"""Guards: facts about data and scores that would make a comparison worthless.

Each guard is a row of the report with what was found (`checks`), and an alarm at its top where it matters. A baseline
or pick that has learnt nothing voids its comparison; see `autodistill.engine.comparison`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from autodistill.components.outcome import Score
from autodistill.components.task import OF, ROLES, TaskData, TaskSpec
from autodistill.data.splits import normalised
from autodistill.engine.score_statistics import estimate
from autodistill.engine.workbench import Workbench
from autodistill.training.encoding import QUESTION_TOKENS
from autodistill.training.tokenised import StoredSplit

#: Share of truncated examples above which the report warns.
TRUNCATED_SHARE = 0.1

#: Share of the labelled words that have no token above which it warns: they are in no score.
UNSCORED_SHARE = 0.01

#: Share of the training questions whose answers no window holds above which it warns.
UNHELD_SHARE = 0.01

#: Share of what a data source reads above which it warns of what it leaves out.
LEFT_OUT_SHARE = 0.01

#: Note of a data source, without the role in front -> what was left out, and what to do about it; "" where nothing need
#: be: an empty line at the end of a file is common and no fault.
_LEFT_OUT = {
    "dropped_answers_not_in_context": (
        "training questions whose answer does not stand where the file says",
        "'answer_start' counts characters of the context, not bytes: correct the file.",
    ),
    "dropped_short_rows": ("rows that lack columns", "Compare the file with the official one."),
    "blank_lines_left_out": ("empty lines", ""),
    "empty_documents_left_out": ("documents without text", "If they should have some, correct the file."),
    "files_of_other_kinds_left_out": ("files of other kinds", ""),
}

#: Share of a held-out split that also stands in the train split, or in the other held-out one, above which it warns: a
#: model that knows 1 % of the answers by heart is up to a point better than it is, as much as a typical gain.
OVERLAP_SHARE = 0.01

#: Share of a held-out split of which one text of two also stands in the other split above which it warns: then scores
#: tell little of texts that are all new. Pairs of known texts are common in published data, so a few are no alarm.
ONE_SIDE_SHARE = 0.5

#: Share of the examples that select was to be carved of below which it warns: its intervals are then 1.4
#: times as wide.
CARVED_SHARE = 0.5

#: Held-out split and the one that its texts are looked for in.
_COMPARED = (("select", "train"), ("test", "train"), ("test", "select"))

#: What a score tells: better than the trivial answer, not surely so, or surely worse than it.
Learnt = Literal["learnt", "nothing", "worse"]


# -- data --------------------------------------------------------------------------------------------------------


def data_notes(bench: Workbench) -> dict[str, Any]:
    """Counts worth knowing: what the data source reports, truncated inputs, texts that stand in two splits."""
    notes = dict(bench.data.notes)
    for role, split in bench.splits.items():
        cut = "cut_questions" if bench.task.kind == "question_answering" else "truncated"  # contexts have windows
        notes[f"{cut}_{role}"] = split.truncated
        notes[f"examples_{role}"] = len(split)
        if isinstance(split, StoredSplit) and split.words:
            notes |= {f"words_{role}": split.words, f"unscored_words_{role}": split.unscored}
        if isinstance(split, StoredSplit) and bench.task.kind == "question_answering":
            notes[f"unheld_{role}"] = split.unheld
        if role in bench.data.splits and hasattr(bench.data.splits[role], "column_names"):
            notes[f"texts_{role}"] = len(bench.data.splits[role])  # long ones are several examples
    notes |= overlaps(bench.data)
    notes["median_tokens"] = bench.median_tokens
    notes["max_length"] = bench.max_length
    return notes


def overlaps(data: TaskData) -> dict[str, int]:
    """``overlap_<role>_<other>``: examples of a held-out role whose texts also stand in the other one.

    Texts are compared by their words alone (`autodistill.data.splits.normalised`): "C++ rocks" is "c rocks". Both
    texts of a pair are compared together, in whichever order. Where examples are pairs,
    ``overlap_<role>_<other>_<column>`` counts those of which this text stands there, in the same column. Streams of
    text have no examples and are left out.
    """
    known = {role: _digests(split, data.task) for role, split in data.splits.items() if hasattr(split, "column_names")}
    found = {}
    for held_out, other in _COMPARED:
        if held_out in known and other in known:
            for part, digests in known[held_out].items():
                there = set(known[other][part])
                found[f"overlap_{held_out}_{other}{part}"] = sum(digest in there for digest in digests)
    return found


def _digests(split: Any, task: TaskSpec) -> dict[str, list[bytes]]:
    """Digests of examples (under the name ``""``), and of each text of a pair (``_<column>``)."""
    columns = {f"_{name}": [_digest(text) for text in split[name]] for name in task.text_columns}
    together = [b"".join(sorted(texts)) for texts in zip(*columns.values(), strict=True)]
    return {"": together, **(columns if len(columns) > 1 else {})}


def _digest(text: Any) -> bytes:
    plain = normalised(" ".join(text) if isinstance(text, list) else str(text))
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def data_checks(notes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the guards over the data; empty for a study whose notes are not written yet."""
    rows = []
    for role in ("train", "select", "test"):
        total = notes.get(f"texts_{role}", notes.get(f"examples_{role}", 0))
        if total and f"cut_questions_{role}" in notes:
            rows.append(_cut_questions(notes[f"cut_questions_{role}"], total, role))
        elif total:
            count = notes.get(f"truncated_{role}", 0)
            alarm = (
                f"{count / total:.0%} of the {role} examples are longer than {notes['max_length']} tokens and were "
                "truncated; consider a larger data.max_length."
            )
            rows.append(_share_check(f"truncated inputs, {role}", count, total, TRUNCATED_SHARE, alarm))
        if total and role == "train" and f"unheld_{role}" in notes:
            unheld = notes[f"unheld_{role}"]
            alarm = (
                f"{unheld} of {total} answers of the {role} split are in no window, so their questions are learnt as "
                f"if they had none: they are longer than what two windows of {notes['max_length']} tokens share. Raise "
                "data.stride or data.max_length."
            )
            rows.append(_share_check(f"answers that no window holds, {role}", unheld, total, UNHELD_SHARE, alarm))
        if role != "train" and (words := notes.get(f"words_{role}", 0)):
            unscored = notes[f"unscored_words_{role}"]
            alarm = (
                f"{unscored} of {words} words of the {role} split have no token, so no answer to them is scored: they "
                f"stand beyond {notes['max_length']} tokens, or the teacher's tokeniser drops them."
            )
            rows.append(_share_check(f"words that are not scored, {role}", unscored, words, UNSCORED_SHARE, alarm))
    rows += _left_out_checks(notes)
    if "asked_select" in notes:
        rows.append(_carved_check(notes))
    if unseen := notes.get("classes_without_training_examples", 0):
        alarm = (
            f"{unseen} of {notes['classes']} classes have no training example, so no model can learn them: raise "
            "data.train_limit, give a data.select of your own, or leave them out."
        )
        rows.append(_check("classes without training examples", f"{unseen} of {notes['classes']}", alarm))
    return rows + [row for held_out, other in _COMPARED for row in _overlap_checks(notes, held_out, other)]


def _left_out_checks(notes: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows on what the data source left out: the notes that are known, and all of which it says of how many.

    Without that number, which not all that is left out has, none alarms.
    """
    for name, count in notes.items():
        role = next((role for role in ROLES if name.startswith(f"{role}_")), "")
        note = name.removeprefix(f"{role}_")
        total = notes.get(f"{name}{OF}", 0)
        if note not in _LEFT_OUT and not total:
            continue
        what, advice = _LEFT_OUT.get(note, (note.replace("_", " "), "If they should be read, correct the file."))
        row = f"left out{role and f', {role}'}: {what}"
        if not total or not advice:
            yield _check(row, f"{count} of {total}" if total else str(count), None)
            continue
        alarm = f"{count} of {total} were left out{role and f' of the {role} split'}: {what}. {advice}"
        yield _share_check(row, count, total, LEFT_OUT_SHARE, alarm)


def _carved_check(notes: Mapping[str, Any]) -> dict[str, Any]:
    """The row of the select split that was carved from train: whether it is as large, and as far from train, as it is
    to be.
    """
    asked, found = notes["asked_select"], notes["carved_select"]
    largest, divided = notes["largest_near_duplicates"], notes["divided_near_duplicates"]
    alarms = []
    if divided:
        alarms.append(
            f"{divided} training examples are near-duplicates in groups larger than the {asked} of select: up to "
            f"{largest} share phrases, some by way of others. Of these only the same texts were kept on one side, so "
            "scores on select reward knowing phrases of train."
        )
    if found < asked * CARVED_SHARE:
        alarms.append(
            f"Select has {found} examples, {asked} were asked for: other near-duplicates that stay together would "
            "be too many. Choices between models are less sure."
        )
    more = " Give select examples of your own (data.select), where the data source takes some."
    row = f"{found} of {asked} examples, largest group of near-duplicates {largest}"
    return _check("select as carved from train", row, " ".join(alarms) + more if alarms else None)


def _cut_questions(count: int, total: int, role: str) -> dict[str, Any]:
    alarm = (
        f"{count / total:.0%} of the {role} questions are longer than a window has room for beside the context, at "
        f"most {QUESTION_TOKENS} tokens, and were cut; shorten them, or raise data.max_length if it is small."
    )
    return _share_check(f"cut questions, {role}", count, total, TRUNCATED_SHARE, alarm)


def _overlap_checks(notes: Mapping[str, Any], held_out: str, other: str) -> Iterator[dict[str, Any]]:
    """Rows on whole examples and, of pairs, on each text."""
    name = f"overlap_{held_out}_{other}"
    total = notes.get(f"texts_{held_out}", notes.get(f"examples_{held_out}", 0))
    for key, count in notes.items():
        if not total or not (key == name or key.startswith(f"{name}_")):
            continue
        column = key.removeprefix(name).removeprefix("_")
        alarm = (
            f"{count} of {total} texts of the {held_out} split also stand in the {other} split: scores on it reward "
        )
        if not column:
            row = (
                f"texts of {held_out} that stand in {other}",
                count,
                total,
                OVERLAP_SHARE,
                f"{alarm}learning by heart.",
            )
        else:
            alarm = alarm.replace(" texts ", f" texts {column!r} ") + "knowing one text of the pair."
            row = f"texts {column!r} of {held_out} that stand in {other}", count, total, ONE_SIDE_SHARE, alarm
        yield _share_check(*row)


def _share_check(what: str, count: int, total: int, most: float, alarm: str) -> dict[str, Any]:
    """A row on a count that raises the alarm above a share."""
    return _check(what, f"{count} of {total}", alarm if count / total > most else None)


# -- scores ------------------------------------------------------------------------------------------------------


def judge_score(score: Score, floor: float, direction: str) -> Learnt:
    """Whether a score is better than the trivial answer's, beyond its 95 % interval.

    Args:
        score: of a model.
        floor: of the trivial answer on the same split.
        direction: of the metric.
    """
    found = estimate(score)
    return judge_interval(found.value, found.low, found.high, floor, direction)


def judge_interval(value: float, low: float | None, high: float | None, floor: float, direction: str) -> Learnt:
    """The same from an interval; without one the value decides."""
    worst, best = (value if end is None else end for end in ((low, high) if direction == "maximize" else (high, low)))
    sign = 1.0 if direction == "maximize" else -1.0
    if sign * (worst - floor) > 0:
        return "learnt"
    return "worse" if sign * (best - floor) < 0 else "nothing"


def score_check(who: str, metric: str, value: float, floor: float, learnt: Learnt) -> dict[str, Any]:
    """The row of the guard against models that have learnt nothing."""
    alarm = {
        "learnt": None,
        "nothing": (
            f"{who} scores {value:.3f} on {metric}, no better than the trivial answer ({floor:.3f}): it has not learnt "
            "the task, and comparisons with it mean nothing."
        ),
        "worse": (
            f"{who} scores {value:.3f} on {metric}, worse than the trivial answer ({floor:.3f}): perhaps its classes "
            "stand in another order than the data's. Comparisons with it mean nothing."
        ),
    }[learnt]
    return _check(f"{who} against the trivial answer", f"{metric} {value:.3f}, trivial {floor:.3f}", alarm)


def picks_checks(frozen: Mapping[str, Any], chosen: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows on picks that are missing, and on those that add nothing to the hypervolume; mostly none.

    Args:
        frozen: the stored step ``picks_frozen``; empty before.
        chosen: the stored steps of the picks.
    """
    rows = []
    if why := frozen.get("fewer"):
        rows.append(_check("picks", f"{len(frozen['trials'])} of at most {frozen['asked']['max']}: {why}", None))
    made = frozen.get("trials")
    beyond = [
        f"trial {step['trial']} ({', '.join(step['beyond'])})"
        for step in chosen
        if step.get("beyond") and (made is None or step["trial"] in made)
    ]
    if beyond:
        rows.append(_check("picks beyond the reference point of the hypervolume", ", ".join(beyond), None))
    return rows


def failed_check(who: str, error: str) -> dict[str, Any]:
    """The row of a model whose full training failed."""
    alarm = f"{who} could not be trained, so nothing is compared with it: {error}"
    return _check(f"training of {who}", "failed", alarm)


def failed_repeat_check(who: str, error: str) -> dict[str, Any]:
    """The row of a repeat, a further full run from another seed, that failed."""
    alarm = f"{who} failed and is in no mean: the recipe is less stable than the numbers say. {error}"
    return _check(f"training of {who}", "failed", alarm)


def runs_check(who: str, unlearnt: int, runs: int) -> dict[str, Any]:
    """The row of a model that was trained several times: how many of its runs have learnt the task.

    Args:
        who: the model.
        unlearnt: runs that diverged or are not surely better than the trivial answer.
        runs: all of them.
    """
    alarm = (
        f"{unlearnt} of {runs} training runs of {who} diverged or have not learnt the task: its recipe is not stable, "
        "and the mean over its runs tells little of what it can do."
    )
    found = f"{runs - unlearnt} of {runs} have learnt the task"
    return _check(f"training runs of {who}", found, alarm if 0 < unlearnt < runs else None)


def failed_seeds_words(found: Mapping[str, Any]) -> str | None:
    """How many seeds of a protocol's outcome failed, in a sentence; None when none did."""
    errors, asked = found["failed_seeds"], found["seeds_asked"]
    if not errors:
        return None
    return (
        f"{len(errors)} of {asked} seeds failed and are in no mean: the recipe is less stable than the numbers say. "
        f"The first was: {errors[0]}"
    )


def split_check(found: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """The row of a protocol's outcome whose figures are of the split that its settings are chosen on; else None.

    Args:
        found: the outcome.
        key: that would name test examples.
    """
    split = found["split"]
    if split == "test":
        return None
    alarm = (
        f"There is no test split: the final figures of fine-tuning are of the {split} split, on which its settings "
        f"are chosen. They are optimistic, and nothing is claimed from them. Give test examples ({key})."
    )
    return _check("split of the final figures", split, alarm)


def _of_task(label: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row that names its task."""
    return {**row, "name": f"{label}: {row['name']}", "alarm": row["alarm"] and f"{label}: {row['alarm']}"}


def task_checks(tasks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows on data and split of the tasks that models were fine-tuned on, and on whether they have learnt them.

    Args:
        tasks: the stored step ``tasks``; empty without one.
    """
    found = [
        _of_task(label, row)
        for label, facts in tasks.get("tasks", {}).items()
        for row in data_checks(facts.get("notes", {}))
    ]
    for label in tasks.get("tasks", {}):
        outcomes = (model["tasks"][label] for model in tasks["models"])
        tuned = next((outcome for outcome in outcomes if "error" not in outcome), None)
        if tuned and (row := split_check(tuned, f"fine_tuning.tasks.{label}.test")):
            found.append(_of_task(label, row))
    for model in tasks.get("models", ()):
        for label, outcome in model["tasks"].items():
            who = f"{model['name']}, fine-tuned on {label}"
            if "error" in outcome:
                found.append(_check(who, "failed", f"{who}: every run failed. The first said: {outcome['error']}"))
                continue
            check, alarm = outcome["check"], outcome["check"]["alarm"]
            found.append(_check(f"{who}, against the trivial answer", check["found"], alarm and f"{label}: {alarm}"))
            if words := failed_seeds_words(outcome):
                found.append(_check(f"seeds of {who}", "failed", f"{who}: {words}"))
    return found


def _check(name: str, found: str, alarm: str | None) -> dict[str, Any]:
    return {"name": name, "found": found, "alarm": alarm}


def alarms(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """The alarms of some checks, each once."""
    return list(dict.fromkeys(str(check["alarm"]) for check in checks if check.get("alarm")))


def learnt_checks(
    finals: Mapping[str, Any], teacher: Mapping[str, Any], metric: str, direction: str
) -> list[dict[str, Any]]:
    """Rows for the teacher and everything in the final comparison.

    Args:
        finals: the stored step ``finals``; empty before the comparison.
        teacher: the stored step ``teacher``.
        metric: that models are compared by.
        direction: of it.
    """
    rows = [
        score_check(_called(name), metric, value, floor, learnt)
        for name, value, floor, learnt in _judged_models(finals, teacher, metric, direction)
    ]
    models = [row for group in ("baselines", "picks") for row in finals.get(group, {}).values()]
    several = [row for row in models if "unlearnt_runs" in row]
    return rows + [
        runs_check(row["name"], row["unlearnt_runs"], len(row["metrics"][metric]["runs"])) for row in several
    ]


def unlearnt(finals: Mapping[str, Any], teacher: Mapping[str, Any], metric: str, direction: str) -> list[str]:
    """Names of the models that `learnt_checks` raises an alarm about."""
    judged = _judged_models(finals, teacher, metric, direction)
    return [name for name, _, _, learnt in judged if learnt != "learnt"]


def _judged_models(
    finals: Mapping[str, Any], teacher: Mapping[str, Any], metric: str, direction: str
) -> Iterator[tuple[str, float, float, Learnt]]:
    """Name, value, the trivial answer's and what that tells, of every model that was scored."""
    # Before the comparison there is the teacher on the select split.
    floor = finals.get("trivial", teacher["trivial"]).get(metric)
    if not finals:
        rows: Iterable[Any] = [("teacher", teacher["metrics"].get(metric), None)]
    else:
        groups = (finals.get(group, {}).values() for group in ("baselines", "picks"))
        models = [finals["teacher"], *finals.get("references", []), *itertools.chain(*groups)]
        rows = [(row["name"], row["metrics"].get(metric), row.get("learnt")) for row in models]
    for name, entry, learnt in rows:
        if entry and floor is not None and entry["value"] is not None:
            yield name, entry["value"], floor, learnt or _judged(entry, floor, direction)


def _called(name: str) -> str:
    return "the teacher" if name == "teacher" else name


def _judged(entry: Mapping[str, Any], floor: float, direction: str) -> Learnt:
    value, low, high = entry["value"], entry.get("low"), entry.get("high")
    if "low" not in entry and entry.get("variance") is not None:  # stored by an earlier version
        half = 1.96 * float(entry["variance"]) ** 0.5  # 95 % of a normal
        low, high = value - half, value + half
    return judge_interval(value, low, high, floor, direction)
