"""Documentation prose of the installed packages.

`mini` was pretrained on it, and forgetting is measured with the part that was held out.
"""

import re
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm.auto import tqdm

from ftkit.seeding import unit_hash
from ftkit.tasks.docstrings import paragraphs, read, root_of, sentences, source_files

HELD_OUT = 0.25
"""No sentence with a `unit_hash` below this is in a pretraining corpus.

The validation and test sentences of the docs task are all below it.
"""

_GENERATED = ("plotly", "pip", "setuptools", "_distutils_hack")


def prose(docstring: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring that are prose, not code, tables or formulas.

    Prose is more than 80 % letters and spaces.
    """
    for text in paragraphs(docstring):
        letters = sum(c.isalpha() or c == " " for c in text)
        if len(text) >= 30 and ">>>" not in text and letters > 0.8 * len(text):
            yield text


def all_prose() -> list[str]:
    """List the distinct prose paragraphs of Python and of every installed package.

    They are in the order of their files, Python's own first, so neighbours in the list are close
    to each other in the source.
    """
    site = Path(sysconfig.get_paths()["purelib"])
    files = source_files(root_of("stdlib"))
    files += [
        path for path in source_files(site) if path.relative_to(site).parts[0] not in _GENERATED
    ]
    records = dict(tqdm(read(files), total=len(files)))
    docstrings = (str(record["doc"]) for file in files for record in records[file])
    texts = (text for docstring in docstrings for text in prose(docstring))
    return list(dict.fromkeys(texts))


def without(texts: Iterable[str], held_out: Iterable[str]) -> list[str]:
    """Leave held-out sentences out of `texts`.

    These are all sentences with a `unit_hash` below `HELD_OUT`, and all that contain one of
    `held_out` word for word.
    """
    # By its first three words a held-out sentence is found without comparing it with every other.
    index = defaultdict(list)
    for sentence in held_out:
        words = _words(sentence)
        index[tuple(words[:3])].append(words)

    def may_stay(sentence: str) -> bool:
        return unit_hash(sentence) >= HELD_OUT and not _contains(_words(sentence), index)

    kept = []
    for text in texts:
        staying = [sentence for sentence in sentences(text) if may_stay(sentence)]
        if staying:
            kept.append(" ".join(staying))
    return kept


def held_out_prose(texts: Iterable[str]) -> list[str]:
    """List the sentences of `texts` that no base was pretrained on, in the order of their hash."""
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
    """Whether one of the indexed sentences is a part of these words."""
    for start in range(len(words) - 2):
        for sentence in index.get(tuple(words[start : start + 3]), ()):
            if words[start : start + len(sentence)] == sentence:
                return True
    return False
