"""What a docstring tells of a function and of its arguments, in the styles of Google, NumPy and Sphinx."""

from __future__ import annotations

import re

_ARGUMENTS = {"Args", "Arguments", "Parameters", "Other Parameters", "Keyword Args", "Keyword Arguments"}
_OTHERS = {
    *(
        "Return",
        "Returns",
        "Yield",
        "Yields",
        "Receives",
        "Raises",
        "Warns",
        "Warning",
        "Warnings",
        "Example",
    ),
    *("Examples", "Note", "Notes", "Attributes", "Methods", "References", "See Also"),
}
_HEADING = re.compile(r"^(\w+(?: \w+)?)\s*:\s*$")
_RULE = re.compile(r"^(?:-{3,}|={3,})\s*$")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY = re.compile(r"^\*{0,2}(\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_PARAM = re.compile(r"^:(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_FIELD = re.compile(
    r"^:(?:type|return|returns|rtype|raise|raises|except|exception|yield|yields|ytype|meta|var|ivar|cvar|vartype)"
    r"\b[^:]*:"
)


def describe(docstring: str | None) -> tuple[str, dict[str, str]]:
    """A docstring's text without its sections, and what it says of each argument."""
    reader = _Reader()
    lines = (docstring or "").splitlines()
    for at, line in enumerate(lines):
        reader.take(line, lines[at + 1] if at + 1 < len(lines) else "")
    return "\n".join(reader.text).strip(), {name: said for name, said in reader.described.items() if said}


class _Reader:
    """Reads line by line. ``_section`` is what the line at hand belongs to."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.described: dict[str, str] = {}
        self._section = "text"
        self._current: list[str] = []  # the arguments that the next line may go on about
        self._indent = 0

    def take(self, line: str, following: str) -> None:
        """Read one line; ``following`` is the next one, which may underline it."""
        named = _HEADING.match(line)
        underlined = bool(_RULE.match(following)) and not line[:1].isspace()
        title = line.strip() if underlined else named[1] if named else ""
        if title in _ARGUMENTS or title in _OTHERS:
            self._section = "other" if title in _OTHERS else "numpy" if underlined else "google"
            self._current = []
        elif found := _PARAM.match(line):
            self._section = "field"
            self._begin([found[1]], found[2])
        elif _FIELD.match(line):
            self._section, self._current = "field", []
        elif self._section == "text":
            self.text.append(line)
        elif not line.strip() or self._section == "other" or (self._section == "numpy" and _RULE.match(line)):
            pass
        elif line[0].isspace() or self._section == "numpy":
            self._inside(line)
        else:
            self._section = "text"
            self.text.append(line)

    def _inside(self, line: str) -> None:
        indent = len(line) - len(line.lstrip())
        if self._section == "numpy" and indent == 0:
            found = _NUMPY.match(line.strip())
            self._begin(re.findall(r"\w+", found[1]) if found else [], "")
        elif (
            self._section == "google"
            and (found := _GOOGLE.match(line.strip()))
            and (not self._current or indent <= self._indent)
        ):
            self._begin([found[1]], found[2])
            self._indent = indent
        else:
            for name in self._current:
                self.described[name] = f"{self.described[name]} {line.strip()}".strip()

    def _begin(self, names: list[str], said: str) -> None:
        self._current = names
        self.described.update(dict.fromkeys(names, said.strip()))
