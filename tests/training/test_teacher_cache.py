"""What the cache keeps of each feature, and that it is whole whatever happens to the processes that write it."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cache_process import KEYS, build, train_split
from hypothesis import given
from hypothesis import strategies as st
from training_tiny import make_model
from transformers import BertConfig, BertForMaskedLM

from autodistill.components.task import IGNORED, TaskSpec
from autodistill.components.training import Batch, FeatureKey, LossContext
from autodistill.errors import OutOfMemoryTrialError, StudyInterruptedError
from autodistill.folders import lock_of, locked
from autodistill.losses.logits_kl import LogitsKL
from autodistill.testing.losses import STUDENT, TEACHER, toy_batch
from autodistill.training import row_sets, teacher_cache
from autodistill.training.arrays import ArrayWriter, open_array
from autodistill.training.batches import on_device
from autodistill.training.cache_plan import counts_of, keeps_likeliest, make_plan
from autodistill.training.row_sets import RowSet
from autodistill.training.softened import MASKED_LOGITS, features_for, softened_logits, teacher_needs
from autodistill.training.stored_features import TOKENS, TOP_K, Dense, FeatureShape, TopLogits, form_of
from autodistill.training.teacher_cache import FORMAT, PassWatch, TeacherCache, cache_directory
from autodistill.training.teacher_features import (
    OnlineTeacherFeatures,
    cached_teacher_features,
    feature_directories,
)
from autodistill.training.tokenised import TokenisedSplit

LOGITS: FeatureKey = ("logits", None)
VOCABULARY = 3000
MASKED = TaskSpec("mlm", (), ("text",), "mlm.accuracy")


def word_model(vocabulary: int = VOCABULARY) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        model = BertForMaskedLM(BertConfig(vocab_size=vocabulary, max_position_embeddings=32, **sizes)).eval()
        with torch.no_grad():  # sharp answers, as a trained model's are
            model.cls.predictions.decoder.weight.normal_(std=0.5)
    return model


@pytest.fixture
def texts(train: TokenisedSplit) -> TokenisedSplit:
    """Examples whose every token has an answer among words."""
    split = copy(train)
    split.kind = "mlm"
    return split


def test_large_vocabularies_keep_the_likeliest_words_and_the_mass_of_the_rest(
    texts: TokenisedSplit, tmp_path: Path
) -> None:
    train = texts
    teacher = word_model()
    keys = frozenset({LOGITS})
    cached = cached_teacher_features(teacher, train, keys, tmp_path, "words", 10**9, None)
    assert isinstance(cached, TeacherCache)
    batch = train.batch(np.array([5, 3, 60]))
    own, other = cached.get(batch)[LOGITS], OnlineTeacherFeatures(teacher, keys).get(batch)[LOGITS]
    assert own.shape == other.shape == (*batch.input_ids.shape, VOCABULARY)
    logs, exact = (value[batch.attention_mask].log_softmax(-1) for value in (own, other))
    top = exact.topk(TOP_K)
    torch.testing.assert_close(logs.gather(1, top.indices), top.values, atol=0.02, rtol=2e-3)
    rest = 1 - top.values.exp().sum(-1)
    assert rest.min() > 0.01  # else the next line would say nothing
    torch.testing.assert_close(1 - logs.gather(1, top.indices).exp().sum(-1), rest, atol=2e-3, rtol=0.02)
    size = sum(path.stat().st_size for path in cached.directory.glob("logits*.npy"))
    assert size < 0.15 * train.lengths.sum() * VOCABULARY * 2, "float16 of everything would take more"


@pytest.mark.parametrize("vocabulary", [70, VOCABULARY])
def test_logits_of_masked_tokens_alone_are_read_from_the_same_files(
    texts: TokenisedSplit, tmp_path: Path, vocabulary: int
) -> None:
    teacher, batch = word_model(vocabulary), texts.batch(np.array([5, 3, 60]))
    found = []
    for keys in (frozenset({LOGITS}), frozenset({MASKED_LOGITS})):
        cached = cached_teacher_features(teacher, texts, keys, tmp_path, "words", 10**9, None)
        found += cached.get(batch, keys).values()
    assert len([path for path in (tmp_path / "teacher_features").iterdir() if path.is_dir()]) == 1
    torch.testing.assert_close(found[0][batch.attention_mask], found[1])


def test_only_tokens_that_count_are_kept_of_a_masked_language_model(tmp_path: Path) -> None:
    labels = torch.tensor([[IGNORED, 4, IGNORED, IGNORED, 7], [0, IGNORED, IGNORED, IGNORED, IGNORED]])
    batch = replace(toy_batch([5, 3]), labels=labels)
    form = TopLogits(LOGITS, VOCABULARY, per_token=True)
    value = 3 * torch.randn(2, 5, VOCABULARY)
    assert form.asked == MASKED_LOGITS
    for name, array in form.encode(value[form.mask(batch)], batch).items():
        np.save(tmp_path / name, array)
    assert len(np.load(tmp_path / "logits_rest.npy")) == 3
    reader = form_of(form.describe()).open(tmp_path, np.array([5, 3]))[LOGITS]
    swapped = Batch(*(tensor.flip(0) for tensor in vars(batch).values()))
    given = reader.padded(np.array([1, 0]), swapped)
    counted = swapped.labels != IGNORED
    assert not given[~counted].any()
    expected = value.flip(0)[counted].log_softmax(-1)
    likely = expected > expected.topk(TOP_K).values[:, -1:]
    torch.testing.assert_close(given[counted][likely], expected[likely], atol=0.01, rtol=1e-3)
    alone = form.open(tmp_path, np.array([5, 3]))[MASKED_LOGITS].padded(np.array([1, 0]), swapped)
    torch.testing.assert_close(alone, given[counted])


def on_meta(batch: Batch) -> Batch:
    return Batch(*(None if tensor is None else tensor.to("meta") for tensor in vars(batch).values()))  # type: ignore[arg-type]


def test_what_is_read_is_spread_out_on_the_device_of_the_batch(train: TokenisedSplit, tmp_path: Path) -> None:
    """Only what is stored travels there, not every word's answer for every token."""
    batch = toy_batch([5, 3])
    whole = Dense.of(("hidden_states", 1), FeatureShape((TOKENS, 4)))
    for name, array in whole.encode(torch.randn(2, 5, 4), batch).items():
        np.save(tmp_path / name, array)
    reader = whole.open(tmp_path, np.array([5, 3]))[whole.key]
    assert reader.padded(np.array([1, 0]), on_meta(batch)).device.type == "meta"
    likeliest = TopLogits(LOGITS, VOCABULARY, per_token=True)
    masked = torch.randn(2, 5, VOCABULARY)[likeliest.mask(batch)]
    for name, array in likeliest.encode(masked, batch).items():
        np.save(tmp_path / name, array)
    reader = likeliest.open(tmp_path, np.array([5, 3]))[LOGITS]
    assert reader.padded(np.array([1, 0]), on_meta(batch)).device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="has no CUDA device")
def test_a_batch_on_a_gpu_is_given_what_one_on_the_cpu_is(texts: TokenisedSplit, tmp_path: Path) -> None:
    keys: frozenset[FeatureKey] = frozenset({LOGITS, ("hidden_states", 1)})
    cached = cached_teacher_features(word_model(), texts, keys, tmp_path, "words", 10**9, None)
    batch = texts.batch(np.array([5, 3, 60]))
    here, there = cached.get(batch), cached.get(on_device(batch, torch.device("cuda")))
    assert all(value.device.type == "cuda" for value in there.values())
    assert all(value.equal(there[key].cpu()) for key, value in here.items())


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_back_has_the_mass_of_a_distribution(seed: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(seed)
    batch = toy_batch([4, 2])
    form = TopLogits(LOGITS, 1500, per_token=False)
    # From almost uniform to almost certain: the rest has anything between nearly all and nearly nothing.
    value = torch.tensor([[0.01], [40.0]]) * torch.randn(2, 1500, generator=generator)
    for name, array in form.encode(value, batch).items():
        np.save(tmp_path / name, array)
    read = form.open(tmp_path, np.array([4, 2]))[LOGITS].padded(np.array([0, 1]), batch)
    torch.testing.assert_close(read.exp().sum(-1), torch.ones(2), atol=2e-3, rtol=0)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 4.0])
def test_a_loss_at_its_temperature_learns_the_same_from_the_likeliest_as_from_all(
    temperature: float, texts: TokenisedSplit, tmp_path: Path
) -> None:
    """The mass of the tail at a temperature does not follow from that at 1: the hotter, the more of it."""
    teacher, context = word_model(), LossContext(STUDENT, TEACHER, (), MASKED)
    loss = LogitsKL(context, weight=1.0, temperature=temperature, divergence="forward", beta=0.5)
    keys = teacher_needs(loss) | {LOGITS}
    cached = cached_teacher_features(teacher, texts, keys, tmp_path, "words", 10**9, None)
    batch = texts.batch(np.array([5, 3, 60]))
    own, exact = cached.get(batch), OnlineTeacherFeatures(teacher, keys).get(batch)
    assert not own[LOGITS].equal(features_for(loss, own)[LOGITS]), "one tail for all temperatures"
    gradients = []
    for features in (own, exact):
        student = torch.zeros_like(exact[LOGITS][batch.attention_mask]).requires_grad_()
        loss({MASKED_LOGITS: student}, features_for(loss, features), batch).backward()
        assert student.grad is not None
        gradients.append(student.grad)
    likely = exact[LOGITS][batch.attention_mask].topk(TOP_K).indices
    found, expected = (gradient.gather(1, likely) for gradient in gradients)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0.01)
    sums = [gradient.sum(-1) - gradient.gather(1, likely).sum(-1) for gradient in gradients]
    torch.testing.assert_close(sums[0], sums[1], atol=1e-6, rtol=0.01)


@pytest.mark.parametrize(("kind", "several"), [("embedding", False), ("classification", True)])
def test_wide_outputs_that_are_no_distribution_are_kept_whole(kind: str, several: bool) -> None:
    teacher = SimpleNamespace(config=SimpleNamespace(vocab_size=VOCABULARY, num_labels=VOCABULARY))
    labels = np.zeros((2, VOCABULARY), "|u1") if several else None  # as they are stored
    split = SimpleNamespace(kind=kind, labels=labels)
    assert not keeps_likeliest(teacher, split)  # type: ignore[arg-type]
    assert keeps_likeliest(teacher, SimpleNamespace(kind="classification", labels=None))  # type: ignore[arg-type]
    teacher.config.problem_type = "multi_label_classification"
    assert not keeps_likeliest(teacher, SimpleNamespace(kind="classification", labels=None))  # type: ignore[arg-type]


def test_caches_of_whole_logits_serve_every_temperature(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    keys = [frozenset({softened_logits(temperature)}) for temperature in (1.0, 2.0)]
    one, two = (cached_teacher_features(model_of(), train, key, tmp_path, "teacher", 10**9, None) for key in keys)
    assert isinstance(one, TeacherCache)
    assert isinstance(two, TeacherCache)
    assert one.directory == two.directory
    batch = train.batch(np.arange(3))
    assert one.get(batch)[LOGITS].equal(two.get(batch, keys[1])[softened_logits(2.0)])


def test_maps_follow_from_queries_and_keys_where_those_are_smaller(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path
) -> None:
    keys: frozenset[FeatureKey] = frozenset({("attentions", 1), ("attention_scores", 2), ("embeddings", None)})
    few, many = model_of(heads=2), model_of(heads=16)
    assert make_plan(few, train, keys, np.bincount(train.lengths)).stored == {
        ("attentions", 1),
        ("attention_scores", 2),
        ("hidden_states", 0),
    }
    plan = make_plan(many, train, keys, np.bincount(train.lengths))
    assert plan.stored == {(name, layer) for name in ("queries", "keys") for layer in (1, 2)} | {("hidden_states", 0)}
    cached = cached_teacher_features(many, train, keys, tmp_path, "many", 10**9, None)
    online = OnlineTeacherFeatures(many, keys)
    batch = train.batch(np.array([5, 3, 60]))
    mask = batch.attention_mask
    pairs = mask[:, None, :, None] & mask[:, None, None, :]
    for key in keys:
        own, other = cached.get(batch)[key], online.get(batch)[key]
        where = mask if key[0] == "embeddings" else pairs.expand_as(own)
        torch.testing.assert_close(own[where], other[where], atol=2e-3, rtol=2e-3)
    own = cached.get(batch)["attentions", 1]
    assert not own[~mask[:, None, None, :].expand_as(own)].any(), "padding is attended to"


def test_maps_that_do_not_follow_are_kept(model_of: Callable[..., Any], train: TokenisedSplit) -> None:
    teacher = model_of(heads=16)
    teacher.bert.encoder.layer[0].attention.self.scaling = 0.1
    keys: frozenset[FeatureKey] = frozenset({("attentions", 1), ("attentions", 2)})
    assert make_plan(teacher, train, keys, np.bincount(train.lengths)).stored == {
        ("attentions", 1),
        ("queries", 2),
        ("keys", 2),
    }


def test_relations_share_their_queries_and_keys_with_the_maps(
    model_of: Callable[..., Any], train: TokenisedSplit
) -> None:
    """A map that costs nothing more because a relation needs the factors anyway is never stored."""
    keys: frozenset[FeatureKey] = frozenset({("attentions", 1), ("queries", 1), ("keys", 1), ("values", 1)})
    assert make_plan(model_of(heads=2), train, keys, np.bincount(train.lengths)).stored == keys - {("attentions", 1)}


def test_only_what_is_asked_for_is_read(model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path) -> None:
    keys: frozenset[FeatureKey] = frozenset({LOGITS, ("hidden_states", 1)})
    cached = cached_teacher_features(model_of(), train, keys, tmp_path, "teacher", 10**9, None)
    assert isinstance(cached, TeacherCache)
    (cached.directory / "hidden_states_1.npy").unlink()  # mapped already; a reader that opened it now would fail
    assert set(cached.get(train.batch(np.arange(3)), frozenset({LOGITS}))) == {LOGITS}


def start(root: Path, *passes: str) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("cache_process.py")
    return subprocess.Popen([sys.executable, str(script), str(root), *passes], stdout=subprocess.PIPE, text=True)


def same_files(first: Path, second: Path) -> bool:
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


@pytest.mark.slow
def test_a_cache_is_written_once_by_several_processes_one_of_which_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BATCH_SIZE", "SAVE_EVERY"):
        monkeypatch.setattr(teacher_cache, name, getattr(teacher_cache, name))  # `build` sets them; put back at the end
    whole, _ = build(tmp_path / "whole")
    root = tmp_path / "killed"
    train_split(root)
    killed = start(root, "12")  # two probes of one example, ten passes: three savings and one pass beyond
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    folder = root / "teacher_features"
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == []
    others = [start(root), start(root)]
    seen = sorted(int(other.communicate(timeout=120)[0].split()[-1]) for other in others)
    probes = 2
    # One goes on behind the ninth pass; the other waits and reads, after its own probe of the size or without.
    assert seen[1] == 200 - 9 * 8 + probes
    assert seen[0] in (0, 1)
    cache, again = build(root)
    assert again == 0
    assert same_files(whole.directory, cache.directory)
    batch = train_split(root).batch(np.array([150, 3]))
    assert all(whole.get(batch)[key].equal(cache.get(batch)[key]) for key in KEYS)


@pytest.mark.parametrize("left", ["", "{", "[]", '{"done": 8}'])
def test_a_cache_whose_progress_cannot_be_read_is_written_anew(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """What the machine leaves when it loses its power."""
    monkeypatch.setattr(teacher_cache, "BATCH_SIZE", 8)

    def made(root: Path, watch: PassWatch | None = None) -> TeacherCache:
        keys = frozenset({LOGITS})
        cache = cached_teacher_features(model_of(), train, keys, root, "teacher", 10**9, None, watch=watch)
        assert isinstance(cache, TeacherCache)
        return cache

    with pytest.raises(StudyInterruptedError):
        made(tmp_path, PassWatch(stop_requested=lambda: True))
    (progress,) = tmp_path.rglob(teacher_cache.PROGRESS)
    progress.write_text(left)
    assert same_files(made(tmp_path).directory, made(tmp_path / "whole").directory)


def test_a_cache_whose_disk_fills_up_leaves_nothing_that_could_be_read(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")

    def refuse(self: ArrayWriter, values: Any) -> None:
        raise full

    keys = frozenset({LOGITS})
    with monkeypatch.context() as patch:
        patch.setattr(ArrayWriter, "append", refuse)
        with pytest.raises(OSError, match="No space left"):
            cached_teacher_features(model_of(), train, keys, tmp_path, "teacher", 10**9, None)
    assert [path for path in (tmp_path / "teacher_features").iterdir() if not path.name.startswith(".")] == []
    assert len(cached_teacher_features(model_of(), train, keys, tmp_path, "teacher", 10**9, None)) == len(train)  # type: ignore[arg-type]


def test_the_pass_takes_fewer_examples_where_memory_runs_out(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cached_teacher_features(model_of(), train, KEYS, tmp_path / "whole", "teacher", 10**9, None)
    most = [5]

    def compute(teacher: Any, batch: Batch, keys: Any, precision: str) -> Any:
        if len(batch.input_ids) > most[0]:
            raise MemoryError
        return real(teacher, batch, keys, precision)

    real = teacher_cache.compute
    monkeypatch.setattr(teacher_cache, "compute", compute)
    halved = cached_teacher_features(model_of(), train, KEYS, tmp_path / "halved", "teacher", 10**9, None)
    batch = train.batch(np.arange(20))
    for key, value in whole.get(batch).items():
        torch.testing.assert_close(halved.get(batch)[key], value, atol=2e-3, rtol=2e-3)
    most[0] = 0
    with pytest.raises(OutOfMemoryTrialError, match="the features of one example"):
        cached_teacher_features(model_of(), train, KEYS, tmp_path / "none", "teacher", 10**9, None)


def test_only_what_does_not_fit_loses_digits(
    model_of: Callable[..., Any], train: TokenisedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(teacher: Any, batch: Batch, keys: Any, precision: str) -> Any:
        found = real(teacher, batch, keys, precision)
        return {key: value * 1e5 if key == ("hidden_states", 2) else value for key, value in found.items()}

    keys: frozenset[FeatureKey] = frozenset({("hidden_states", 1), ("hidden_states", 2), LOGITS})
    real, batch = teacher_cache.compute, train.batch(np.arange(20))
    expected = real(model_of(), batch, keys)
    monkeypatch.setattr(teacher_cache, "compute", compute)
    found = cached_teacher_features(model_of(), train, keys, tmp_path, "teacher", 10**9, None).get(batch)
    mask = batch.attention_mask
    torch.testing.assert_close(
        found["hidden_states", 1][mask], expected["hidden_states", 1][mask], atol=1e-3, rtol=1e-3
    )
    large = expected["hidden_states", 2][mask] * 1e5
    torch.testing.assert_close(found["hidden_states", 2][mask], large, atol=1.0, rtol=1e-2)


def test_logits_of_tokens_keep_their_digits() -> None:
    of_tokens = FeatureShape((TOKENS, 3))
    assert Dense.of(LOGITS, of_tokens).precision == "float32"
    assert Dense.of(("hidden_states", 1), of_tokens).precision == "float16"


def test_an_array_goes_on_behind_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    writer = ArrayWriter(path, "<i4", (2,))
    writer.append(np.arange(6))
    assert writer.save() == 3
    writer.append(np.arange(100, 108))  # never saved: its process is killed here
    writer._file.flush()
    with ArrayWriter(path, "<i4", (2,), keep_rows=3) as again:
        again.append(np.array([[8, 9]]))
    assert open_array(path).tolist() == [[0, 1], [2, 3], [4, 5], [8, 9]]


def test_who_waits_for_another_process_can_be_stopped(train: TokenisedSplit, tmp_path: Path) -> None:
    teacher = make_model()
    directory, *_ = feature_directories(teacher, train, KEYS, tmp_path, "words", RowSet(len(train)))
    watch = PassWatch(stop_requested=lambda: True)
    with locked(lock_of(directory)), pytest.raises(StudyInterruptedError, match="while another process computes"):
        cached_teacher_features(teacher, train, KEYS, tmp_path, "words", 10**9, None, watch=watch)


@given(st.integers(0, 9), st.lists(st.booleans(), max_size=20), st.integers(1, 6))
def test_the_key_of_a_cache_is_that_of_its_row_numbers(whole: int, more: list[bool], piece: int) -> None:
    """Caches that were written before row sets are found again."""
    numbers = [*range(whole), *(whole + index for index, there in enumerate(more) if there)]
    digest = hashlib.sha256(np.array(numbers, dtype="<i8").tobytes()).hexdigest()
    parts = [FORMAT, "teacher", "split", [["logits", None]], digest]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
    split: Any = SimpleNamespace(fingerprint="split")
    rows = RowSet(whole, np.array(more, dtype=np.bool_))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_sets, "PIECE", piece)
        assert cache_directory(Path("cache"), split, frozenset({LOGITS}), "teacher", rows).name == name


def test_rows_are_counted_by_their_tokens(train: TokenisedSplit) -> None:
    rows = RowSet.of(np.array([40, 3, 3, 9]))
    lengths = train.lengths[[3, 9, 40]].tolist()
    assert counts_of(train, rows).tolist() == [lengths.count(tokens) for tokens in range(max(train.lengths) + 1)]
    assert counts_of(train, RowSet(0)).sum() == 0
