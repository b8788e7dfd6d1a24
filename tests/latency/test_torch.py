from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertForSequenceClassification

from autodistill.components.latency import LatencyContext, LatencySubject
from autodistill.engine.finals import load_model
from autodistill.errors import ConfigError, LatencyError
from autodistill.exporters.huggingface import save_pretrained, weights_digest
from autodistill.exporters.parity import logits_of
from autodistill.latency.configs import TorchConfig
from autodistill.latency.torch import TorchLatency

Make = Callable[..., LatencySubject]


def backend(context: LatencyContext, **changes: Any) -> TorchLatency:
    return TorchLatency(context, **dataclasses.asdict(TorchConfig(**{"max_seconds": 0.2, "threads": 1, **changes})))


def test_built_and_saved_models_are_timed_against_the_reference(context: LatencyContext, make_subject: Make) -> None:
    subject = make_subject()
    assert subject.build is not None
    save_pretrained(subject.build(), context.work_dir / "hf")
    made = backend(dataclasses.replace(context, reference=make_subject("teacher", layers=6)), precision="bf16")
    built = made.measure(subject)
    saved = made.measure(LatencySubject("pick 3", None, None, {"huggingface": context.work_dir / "hf"}))
    made.close()
    assert built.ratio_to_reference is not None
    assert 0 < built.ratio_to_reference < 1
    assert built.precision == "bf16"
    assert built.artifact_sha256 is None
    assert saved.artifact_sha256 is not None
    assert built.versions.keys() == {"python", "torch", "transformers"}
    assert [path.name for path in context.work_dir.iterdir()] == ["hf"]


def test_a_model_in_several_files_is_timed_and_one_without_weights_named(
    context: LatencyContext, model: BertForSequenceClassification, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "hf", max_shard_size="20KB")
    assert len(list((tmp_path / "hf").glob("*.safetensors"))) > 1
    assert type(load_model(tmp_path / "hf")) is type(model)
    made = backend(context)
    subject = LatencySubject("pick 3", None, None, {"huggingface": tmp_path / "hf"})
    digests = [made.measure(subject).artifact_sha256]
    first = min((tmp_path / "hf").glob("*.safetensors"))
    first.write_bytes(first.read_bytes() + b" ")
    assert weights_digest(tmp_path / "hf") not in digests
    for path in (tmp_path / "hf").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(LatencyError, match=r"'onnxruntime' could not time pick 3: .*hf holds no model\.safetensors"):
        made.measure(subject)
    made.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_where_there_is_none_is_refused_before_anything_starts(context: LatencyContext) -> None:
    with pytest.raises(ConfigError, match=r"device is cuda, but PyTorch .* finds no CUDA device"):
        backend(context, device="cuda")


def test_half_precision_on_the_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"latency\.torch\.precision must be one of fp32, bf16, got 'fp16'"):
        TorchConfig(precision="fp16")


def test_answers_are_those_of_what_is_timed(
    context: LatencyContext, model: BertForSequenceClassification, batches: list[dict[str, Any]], tmp_path: Path
) -> None:
    save_pretrained(model, tmp_path / "hf")
    made = backend(context, precision="bf16")
    answers = list(made.answer(LatencySubject("pick 3", None, None, {"huggingface": tmp_path / "hf"}), batches))
    made.close()
    for one, exact in zip(answers, logits_of(model, batches), strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, exact, atol=0.02)
        assert not np.allclose(one, exact, atol=1e-6)
