"""The fenced blocks of the documents, and what a comment above one says of how it is tested.

A block of commands is run, unless the line above it is one of these comments:

    <!-- not run: why -->
    <!-- run by tests/...py -->       another test runs it
    <!-- run with NAME -->            where NAME is there (see test_docs.py), else left out
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = ("bash", "console", "sh")
_FENCE = re.compile(
    r"(?:^<!-- (?P<note>(?:not run|run by|run with)\b.*?) -->\n\s*)?"
    r"^(?P<fence>```+)(?P<language>\w+)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    note: str
    """What the comment above it says; empty: nothing."""

    @property
    def reason(self) -> str | None:
        """Why it is not run; None: it is."""
        return self.note.partition(":")[2].strip() if self.note.startswith("not run") else None

    @property
    def runner(self) -> Path | None:
        """The test that runs it instead."""
        found = re.match(r"run by (tests/[\w/.]+\.py)", self.note)
        return ROOT / found[1] if found else None

    @property
    def needs(self) -> str | None:
        """What has to be there for it to be run."""
        return self.note.removeprefix("run with ").strip() if self.note.startswith("run with ") else None

    def commands(self) -> str:
        """Return what a reader types: of a console, the lines after a prompt."""
        if self.language != "console":
            return self.text
        return "\n".join(line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ "))

    def output(self) -> list[str]:
        """Return what a console shows besides."""
        lines = self.text.splitlines() if self.language == "console" else []
        return [line for line in lines if line.strip() and not line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page.name,
            text.count("\n", 0, match.start("fence")) + 1,
            match["language"],
            match["text"],
            match["note"] or "",
        )
        for match in _FENCE.finditer(text)
    ]
