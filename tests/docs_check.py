"""Check that what is written agrees with what is there; ``--write`` renews the generated page.

Run by ``make check``: relative links resolve, docs/cli.md is the program's own help, .env.example lists each variable,
every command in a README shell block is one that the program has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cli.md"
SKIPPED_FOLDERS = {".venv", ".git", "node_modules", ".pytest_cache", ".devchain"}


def pages() -> list[Path]:
    return [p for p in sorted(ROOT.rglob("*.md")) if not SKIPPED_FOLDERS & set(p.relative_to(ROOT).parts)]


def broken_links() -> list[str]:
    problems = []
    for page in pages():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                problems.append(f"{page.relative_to(ROOT)}: no file {target}")
    return problems


def help_of(*words: str) -> str:
    """Ask a process of its own, so that nothing around decides how wide the help is."""
    environment = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "scanner", *words, "--help"]
    answer = subprocess.run(command, capture_output=True, check=True, env=environment, cwd=ROOT)
    return "\n".join(line.rstrip() for line in answer.stdout.decode().strip().splitlines())


def command_names() -> list[str]:
    from scanner.cli.app import COMMANDS

    return list(COMMANDS)


def help_page() -> str:
    """Give docs/cli.md as the program's help makes it."""
    parts = ["# Command line", "", "Generated from `--help` by `python -m tests.docs_check --write`.", ""]
    for name in ("", *command_names()):
        words = [name] if name else []
        parts += [f"## liqbands {name}".rstrip(), "", "```text", help_of(*words), "```", ""]
    return "\n".join(parts)


def stale_help() -> list[str]:
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != help_page():
        return ["docs/cli.md is not what --help says: run python -m tests.docs_check --write"]
    return []


def undocumented_variables() -> list[str]:
    from scanner.config import VARIABLES

    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = {name: comment for comment, name in re.findall(r"^# (.*)\n([A-Z0-9_]+)=$", text, re.MULTILINE)}
    problems = [f".env.example: {name} is not read by the program" for name in sorted(set(listed) - set(VARIABLES))]
    for name, comment in VARIABLES.items():
        if listed.get(name) != comment:
            problems.append(f".env.example: {name} should be there with the comment {comment!r}")
    return problems


def unknown_commands() -> list[str]:
    known = set(command_names())
    problems = []
    for page in pages():
        for name in re.findall(r"^\s*(?:\$ )?liqbands ([a-z]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE):
            if name not in known:
                problems.append(f"{page.relative_to(ROOT)}: liqbands has no command {name}")
    return problems


def problems() -> list[str]:
    return [*broken_links(), *stale_help(), *undocumented_variables(), *unknown_commands()]


def main() -> int:
    if "--write" in sys.argv:
        PAGE.write_text(help_page(), encoding="utf-8")
    found = problems()
    for line in found:
        print(line, file=sys.stderr)
    print(f"docs: {len(pages())} pages, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
