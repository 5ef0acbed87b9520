"""The two cells with which every lesson starts in Colab, and the command that writes them.

`make colab REPO=owner/name TAG=v1` stamps every notebook. Owner, name and tag are in
`[tool.ftkit.colab]` of pyproject.toml alone. Outside Colab the cells do nothing.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import nbformat

from ftkit.storage import check_writable, whole_file

BADGE, INSTALL = "colab-badge", "colab-install"
"""The ids of the two cells."""

# The templates of the install cell. Single braces are filled in here; doubled ones are for the
# f-strings of the cell itself.
_START = """\
import sys
from importlib.metadata import distributions
{imports}
if "google.colab" in sys.modules:  # in Colab this brings ftkit; anywhere else it does nothing
    had = [kit.version for kit in distributions(name="ftkit")]
"""
_RESTART = (
    'print(f"ftkit {{had[0]}} was here, this lesson is for {version}: '
    'choose Runtime > Restart session, then run it from the top.")'
)
_BRING = (
    'print(f"Upload {{wheel}} (ftkit here: {{had or None}}) in the Files panel; '
    '`make wheel` in the kit makes it. Then run this again.")'
)
_PUBLISHED = """\
    if "{version}" not in had:
        %pip install -q "ftkit @ git+https://github.com/{repo}@{tag}"
        if had:
            {restart}"""
_UNPUBLISHED = """\
    wheel = Path("ftkit-{version}-py3-none-any.whl")
    if "{version}" not in had and wheel.exists():
        %pip install -q {{wheel}}
        if had:
            {restart}
    elif "{version}" not in had:
        {bring}"""

_COLAB = "https://colab.research.google.com"


@dataclass(frozen=True)
class Source:
    """Where Colab gets the kit from.

    Args:
        repo: the public repository, written owner/name; while it is "", Colab asks for a wheel.
        tag: the tag of the repository.
        version: of the kit.

    Raises:
        ValueError: `repo` is not owner/name, or `tag` cannot be a tag.
    """

    repo: str
    tag: str
    version: str

    def __post_init__(self) -> None:
        if self.repo and not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.repo, re.ASCII):
            raise ValueError(
                f"repo must be owner/name, got {self.repo!r}; "
                "leave it empty while nothing is published"
            )
        if not re.fullmatch(r"\w[\w.-]*", self.tag, re.ASCII):
            raise ValueError(
                f"tag must be a tag of the repository, got {self.tag!r}; "
                f"give one such as v{self.version}"
            )

    def badge(self, name: str) -> str:
        """Return the first cell, in Markdown, of the lesson in the file `name`."""
        if not self.repo:
            return "In Colab: see the next cell."
        address = f"{_COLAB}/github/{self.repo}/blob/{self.tag}/notebooks/{name}"
        return f"[![Open In Colab]({_COLAB}/assets/colab-badge.svg)]({address})"

    def install(self) -> str:
        """Return the second cell, in IPython.

        It installs the kit if Colab lacks it, and says so if Colab has another version.
        """
        start = _START.format(imports="" if self.repo else "from pathlib import Path\n")
        rest = (_PUBLISHED if self.repo else _UNPUBLISHED).format(
            version=self.version,
            repo=self.repo,
            tag=self.tag,
            restart=_RESTART.format(version=self.version),
            bring=_BRING.format(),
        )
        return start + rest


def read_source(pyproject: Path) -> Source:
    """Read repository, tag and version from pyproject.toml.

    Raises:
        ValueError: it has no repository and tag for Colab, or something that cannot be one.
    """
    content = tomllib.loads(pyproject.read_text(encoding="utf8"))
    colab = content.get("tool", {}).get("ftkit", {}).get("colab", {})
    if not (isinstance(colab.get("repo"), str) and isinstance(colab.get("tag"), str)):
        raise ValueError(
            f"[tool.ftkit.colab] must hold repo and tag, got {colab}; "
            f"write both as strings in {pyproject.name}"
        )
    return Source(colab["repo"], colab["tag"], content["project"]["version"])


def write_source(pyproject: Path, source: Source) -> None:
    """Write repository and tag into pyproject.toml; every other character stays as it is.

    Raises:
        ValueError: it has no table [tool.ftkit.colab].
    """
    text = pyproject.read_text(encoding="utf8")
    table = re.search(r"(?ms)^\[tool\.ftkit\.colab\]\n.*?(?=^\[|\Z)", text)
    if table is None:
        raise ValueError(
            f"{pyproject.name} must have the table [tool.ftkit.colab], got none; "
            "write it with repo and tag"
        )
    lines = table[0]
    for key, value in (("repo", source.repo), ("tag", source.tag)):
        lines = re.sub(rf'(?m)^{key} *= *"[^"]*"', f'{key} = "{value}"', lines)
    with whole_file(pyproject) as new:
        new.write_text(text[: table.start()] + lines + text[table.end() :], encoding="utf8")


def stamp(path: Path, source: Source) -> bool:
    """Make the notebook at `path` start with the two cells; return whether that changed the file.

    Cells that are there already keep their count and outputs: what they do outside Colab does not
    depend on the source.
    """
    before = path.read_text(encoding="utf8")
    notebook = nbformat.reads(before, as_version=4)
    old = {cell.get("id"): cell for cell in notebook.cells}
    badge = old.get(BADGE) or nbformat.v4.new_markdown_cell(id=BADGE)
    install = old.get(INSTALL) or nbformat.v4.new_code_cell(
        id=INSTALL, metadata={"jupyter": {"source_hidden": True}}
    )
    badge.source, install.source = source.badge(path.name), source.install()
    others = [cell for cell in notebook.cells if cell.get("id") not in (BADGE, INSTALL)]
    notebook.cells = [badge, install, *others]
    after = nbformat.writes(notebook) + "\n"
    if after != before:
        with whole_file(path) as new:
            new.write_text(after, encoding="utf8")
    return after != before


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ftkit.teaching.colab", description="Stamp the lessons for Colab."
    )
    parser.add_argument(
        "--repo",
        help="owner/name of the public repository, written into pyproject.toml; "
        "without it the one that is there",
    )
    parser.add_argument(
        "--tag",
        help="the tag that Colab opens, written into pyproject.toml; "
        "without it the one that is there",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Stamp every notebook of the clone in the working folder."""
    options = _parser().parse_args(arguments)
    pyproject = Path("pyproject.toml")
    try:
        before = read_source(pyproject)
        repo = before.repo if options.repo is None else options.repo
        source = Source(repo, options.tag or before.tag, before.version)
        notebooks = sorted(Path("notebooks").glob("*.ipynb"))
        for path in (pyproject, *notebooks):  # before the first is changed
            check_writable(path)
        if source != before:
            write_source(pyproject, source)
        for path in notebooks:
            print(f"{path.name}: {'stamped' if stamp(path, source) else 'unchanged'}")
    except (OSError, ValueError) as error:
        print(f"colab: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
