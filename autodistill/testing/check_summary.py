"""``python -m autodistill.testing.check_summary FILE``: does a ``summary.json`` satisfy the schema?"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path


def main(paths: list[str]) -> int:
    """Validate files; prints the first error of each and returns 1 when there is any."""
    import jsonschema

    schema = json.loads(files("autodistill.testing").joinpath("summary.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    failed = False
    for path in paths:
        error = jsonschema.exceptions.best_match(validator.iter_errors(json.loads(Path(path).read_text())))
        where = "/".join(map(str, error.absolute_path)) if error else ""
        print(f"{path}: {'satisfies schema version 1' if error is None else f'{where}: {error.message}'}")
        failed |= error is not None
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
