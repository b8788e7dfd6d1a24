"""Overrides are written down without the secrets that they hold."""

from __future__ import annotations

import pytest

from autodistill.engine.secret_overrides import without_secret
from autodistill.engine.session import _lasting


@pytest.mark.parametrize(
    ("override", "stored"),
    [
        ("+logger.web.api_key=c0ffee", '+logger.web.api_key="***"'),
        ("+logger.web={name: x, api_key: c0ffee, n: 3}", '+logger.web={name:"x",api_key:"***",n:3}'),
        ("+logger.web.uri=https://me:c0ffee@host", '+logger.web.uri="https://me:***@host"'),
        ("+logger.web.uri='https://host/?password=c0ffee&n=1'", '+logger.web.uri="https://host/?password=***&n=1"'),
    ],
)
def test_secrets_are_masked(override: str, stored: str) -> None:
    assert without_secret(override) == stored


@pytest.mark.parametrize(
    "override",
    [
        "+logger.web.api_key='${oc.env:KEY}'",
        "storage.url='postgresql://me:${oc.env:PASSWORD}@host/studies'",
        "+loss.token_kl.name=token_kl",
        "data=token_classification",
        "~student.space.num_heads",
        "student.space.num_layers=[2,3]",
        "seed=0,1",
    ],
)
def test_references_and_everything_else_stay_as_they_are(override: str) -> None:
    assert without_secret(override) == override


def test_a_study_stores_no_secret() -> None:
    given = ["seed=1", "storage.url=postgresql://me:c0ffee@host/studies", "+logger.web.api_key=c0ffee"]
    assert _lasting(given, {}) == ["seed=1", '+logger.web.api_key="***"']
