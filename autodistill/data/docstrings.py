"""Short plain-text excerpts from the docstrings of installed libraries, without importing any of them.

Source files are parsed with `ast`; code, doctests, markup and every word that names a library are taken out, so that
an excerpt has to be understood to tell where it comes from. Standard library only. What becomes of the excerpts
(labels, splits, snapshot) is in `autodistill.data.python_docs`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autodistill.data.splits import shingles
from autodistill.errors import DataError

#: Import name -> distribution name, where the two differ by more than ``-`` and ``_``.
DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "yaml": "PyYAML", "hydra": "hydra-core"}

#: What stands in an excerpt where a name or a piece of code stood.
PLACEHOLDER = "something"

#: Aliases and stems that give a library away although they are not its import name.
ALIASES = (
    *("np", "pd", "tf", "nx", "hf", "pl", "sa", "px", "go", "mpl", "jax", "cuda", "onnx", "keras", "tensorflow"),
    *("hugging", "face", "huggingface", "hub", "lightning", "pytorch", "scikit", "learn", "alchemy", "matplotlib"),
    *("bert", "gpt", "arxiv", "https", "http", "www", "ndarray", "dataframe", "dataframes"),
)

_RULE = re.compile(r"^\s*(?:(?:[-=~^*#]{3,}|:\w+:)\s*$|[\w*, ]{1,60} : )")  # underlines; `name : type`
_CODE = re.compile(r"^\s*(>>>|\.\.\.|\.\. |@|\$ |\||\+[-=]|```)")
_FIELD = re.compile(r"^\s*:(?:\w+)(?: [^:]*)?:\s*")
_ARGUMENT = re.compile(r"^\s*\*{0,2}[\w.`'\", /*-]{1,40}(?: ?\([^)]*\))?\s*:(?=\s|$)\s*")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+")
_ITEMS = (_BULLET, _FIELD, _ARGUMENT)
_MARKUP = re.compile(
    r":[\w:]+:`[^`]*`_{0,2}|``[^`]*``|`[^`]*`_{0,2}|\[[^\]]*\]_?|\$[^$]*\$|<[^>]*>|\{[^}]*\}|\w+\([^)]*\)"
)
_NAME = re.compile(r"\S*(?:\w[_./\\=]\w|[a-z][A-Z]|[A-Z]{2}[a-z]|\w*\d|[_@#=\\|~^%])\S*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`*])")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_DROPPED = re.compile(r"[^a-z0-9 .,;:!?()'\"-]+")
_REPEATED = re.compile(rf"{PLACEHOLDER}(?:[ ,;:.()'\"-]+{PLACEHOLDER})+")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One example in the making.

    Args:
        text: plain lower-case text.
        group: what must not be torn apart by a split; here the source file, relative to the library.
    """

    text: str
    group: str


def library_version(library: str) -> str:
    """Return the installed version of a library, found by its distribution's metadata.

    Raises:
        DataError: the library is not installed.
    """
    distribution = DISTRIBUTIONS.get(library, library)
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise DataError(
            f"data.python_docs takes its examples from installed libraries, but {library!r} of data.libraries is not "
            f"installed. Install it with `pip install {distribution}` or leave it out of data.libraries."
        ) from None


def library_folder(library: str) -> Path:
    """Return the folder of a library's source files, without importing it.

    Raises:
        DataError: no importable package of that name, or one without a folder.
    """
    spec = importlib.util.find_spec(library) if library.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"data.libraries names {library!r}, but no package of that name can be found; give the name that is "
            "imported (`sklearn`, not `scikit-learn`)."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def give_aways(libraries: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern of the words that name one of the libraries: the names, their parts and the usual aliases."""
    parts = {part for library in libraries for part in (library.lower(), *library.lower().split("_"))}
    return re.compile(rf"\b(?:{'|'.join(sorted(parts.union(ALIASES), key=len, reverse=True))})(?:'s)?\b")


def source_files(folder: Path) -> list[Path]:
    """Return the library's source files in the order of a stable hash of their relative paths, tests left out."""
    paths = [path for path in folder.rglob("*.py") if not _is_test(path.relative_to(folder))]
    return sorted(paths, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())


def _is_test(path: Path) -> bool:
    return any(part in ("test", "tests", "testing", "_vendor") or part.startswith("test_") for part in path.parts)


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a source file's module, classes, methods and functions; none if it cannot be parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        try:
            nodes: list[ast.AST] = [ast.parse(path.read_bytes())]
        except (SyntaxError, ValueError, RecursionError):
            return
    for node in nodes:  # grows while it is read
        if isinstance(node, _DOCUMENTED):
            yield ast.get_docstring(node, clean=True) or ""
        # Functions inside functions are skipped, for they are rarely documented and looking costs most of the time.
        if isinstance(node, (ast.Module, ast.ClassDef)):
            nodes.extend(node.body)


def paragraphs(docstring: str) -> Iterator[str]:
    """Yield the paragraphs of prose of a docstring: no doctests, headings, tables, field names or code."""
    lines: list[str] = []
    indent: int | None = None  # None: the next line sets it
    skipping = False
    for line in [*docstring.splitlines(), ""]:
        starts_item = any(pattern.match(line) for pattern in _ITEMS)
        own_indent = len(line) - len(line.lstrip())
        is_code = bool(_CODE.match(line))
        breaks = not line.strip() or starts_item or is_code or _RULE.match(line)
        if breaks or indent not in (None, own_indent):
            if lines:
                yield " ".join(lines)
            lines = []
        # The output of a doctest runs on to the next empty line; an item's second line sets its indentation.
        skipping = bool(line.strip()) and (skipping or is_code)
        indent = None if starts_item or not line.strip() else own_indent
        if line.strip() and not skipping and not _RULE.match(line):
            lines.append(_without_item_mark(line))


def _without_item_mark(line: str) -> str:
    for pattern in _ITEMS:
        line = pattern.sub("", line)
    return line.strip()


def clean(sentence: str, names: re.Pattern[str]) -> str:
    """Return a sentence in lower case with markup, code, identifiers and names of libraries masked."""
    text = _NAME.sub(PLACEHOLDER, _MARKUP.sub(PLACEHOLDER, sentence))
    text = names.sub(PLACEHOLDER, text.lower())
    text = " ".join(_DROPPED.sub(" ", text).split())
    return _REPEATED.sub(PLACEHOLDER, text)


def harvest(
    folder: Path, names: re.Pattern[str], words: tuple[int, int], limits: tuple[int, int], seen: set[int]
) -> list[Excerpt]:
    """Return excerpts of a library that are no near-duplicates of each other, nor of what was seen before.

    Args:
        folder: where the source files are.
        names: what gives a library away.
        words: words per excerpt, least and most.
        limits: excerpts at most, in all and from one file.
        seen: word sequences of earlier excerpts; added to.
    """
    seen_raw: set[str] = set()
    excerpts: list[Excerpt] = []
    for path in source_files(folder):
        raw = [text for docstring in docstrings(path) for text in sentences(docstring, words) if text not in seen_raw]
        seen_raw.update(raw)
        texts = (clean(text, names) for text in dict.fromkeys(raw))
        new = [text for text in texts if is_plain(text, words) and is_new(text, seen)]
        excerpts += [Excerpt(text, path.relative_to(folder).as_posix()) for text in spread(new, limits[1])]
        if len(excerpts) >= limits[0]:
            break
    return excerpts[: limits[0]]


def sentences(docstring: str, words: tuple[int, int]) -> Iterator[str]:
    """Yield the sentences of a docstring's prose that have ``words[0]`` to ``words[1]`` words, markup included."""
    for paragraph in paragraphs(docstring):
        for sentence in _SENTENCE.split(paragraph):
            if words[0] <= len(sentence.split()) <= words[1]:
                yield sentence


def is_plain(text: str, words: tuple[int, int]) -> bool:
    """Return whether a cleaned sentence has enough words left, no more than one in five of them masked."""
    tokens = re.findall(r"[a-z']+", text)
    masked = tokens.count(PLACEHOLDER)
    return words[0] <= len(tokens) - masked and len(tokens) <= words[1] and masked * 5 <= len(tokens)


def spread(texts: Sequence[str], limit: int) -> Sequence[str]:
    """Return at most ``limit`` of the texts, evenly spaced."""
    step = max(1.0, len(texts) / limit)
    return [texts[int(index * step)] for index in range(min(limit, len(texts)))]


def is_new(text: str, seen: set[int]) -> bool:
    """Return whether less than half of a text's word sequences were seen before, and remember them if so."""
    own = shingles(text)
    if 2 * len(own & seen) >= len(own):
        return False
    seen |= own
    return True
