"""The prose of the documentation of installed packages: what `mini` was pretrained on, and what forgetting is measured with."""

import re
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm.auto import tqdm

from ftkit.seeding import unit_hash
from ftkit.tasks.docstrings import paragraphs, read, root_of, sentences, source_files

HELD_OUT = 0.25
"""Sentences whose `unit_hash` lies below this are in no pretraining corpus: the valid and test splits of the docs task lie there."""

_GENERATED = ("plotly", "pip", "setuptools", "_distutils_hack")


def prose(docstring: str) -> Iterator[str]:
    """The paragraphs of a docstring that are sentences rather than code, tables or formulas (80 % letters and spaces)."""
    for text in paragraphs(docstring):
        letters = sum(c.isalpha() or c == " " for c in text)
        if len(text) >= 30 and ">>>" not in text and letters > 0.8 * len(text):
            yield text


def all_prose() -> list[str]:
    """The distinct prose paragraphs of every package installed beside the kit, Python's own first, in the order of their files.

    So neighbours in the list stand near each other in the source.
    """
    site = Path(sysconfig.get_paths()["purelib"])
    files = source_files(root_of("stdlib"))
    files += [
        path for path in source_files(site) if path.relative_to(site).parts[0] not in _GENERATED
    ]
    records = dict(tqdm(read(files), total=len(files)))
    return list(
        dict.fromkeys(
            text for file in files for r in records[file] for text in prose(str(r["doc"]))
        )
    )


def without(texts: Iterable[str], held_out: Iterable[str]) -> list[str]:
    """`texts` without any sentence that hashes below `HELD_OUT`, or that contains one of the `held_out` sentences, word for word."""
    index = defaultdict(list)
    for sentence in held_out:
        words = _words(sentence)
        index[tuple(words[:3])].append(words)
    kept = []
    for text in texts:
        left = [
            s
            for s in sentences(text)
            if unit_hash(s) >= HELD_OUT and not _contains(_words(s), index)
        ]
        if left:
            kept.append(" ".join(left))
    return kept


def held_out_prose(texts: Iterable[str]) -> list[str]:
    """The sentences of `texts` that no base was pretrained on, in an order of their own."""
    held_out = {
        sentence
        for text in texts
        for sentence in sentences(text)
        if unit_hash(sentence) < HELD_OUT and len(sentence) >= 30
    }
    return sorted(held_out, key=unit_hash)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _contains(words: list[str], index: dict[tuple[str, ...], list[list[str]]]) -> bool:
    starts = range(len(words) - 2)
    return any(
        words[i : i + len(w)] == w for i in starts for w in index.get(tuple(words[i : i + 3]), ())
    )
