"""The command line: arguments in, exit code out."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from scanner.cli.curtain import error_panel, hide
from scanner.errors import ConfigError, ScannerError

__all__ = ["main", "run"]

INTERRUPTED = 130
BUG = 4  # an unforeseen error must not look like a broken limit (1), which is what Python itself would exit with


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; errors are told on stderr in one line."""
    try:
        from scanner.cli.app import app

        code = app(list(arguments), result_action="return_value", error_formatter=error_panel)
    except SystemExit as leave:  # the argument parser has told what is wrong
        code = leave.code if isinstance(leave.code, int) else ConfigError.exit_code
        _tell_ci(arguments, code, "an option or value is not known; the log of the step says which")
        return code
    except ScannerError as error:
        print(f"liqbands: {hide(str(error))}", file=sys.stderr)
        _tell_ci(arguments, error.exit_code, hide(str(error)))
        return error.exit_code
    except KeyboardInterrupt:
        print("liqbands: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 - the outermost frame: every other place names what it catches
        print(hide(traceback.format_exc()), end="", file=sys.stderr)
        print("liqbands: this is a bug; please report it with the lines above", file=sys.stderr)
        return BUG
    return int(code or 0)


def _tell_ci(arguments: Sequence[str], code: int, said: str) -> None:
    """Annotate a GitHub step whose check came to no verdict, and add that to its summary."""
    if not code or arguments[:1] not in (["check"], ("check",)):
        return
    from scanner.config import on_github, step_summary

    if not on_github():
        return
    from scanner.export.ci import failure_annotation, failure_summary

    if "--no-annotations" not in arguments:
        print(failure_annotation(code, said), file=sys.stderr)
    if (path := step_summary()) is not None:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(failure_summary(code, said))
        except OSError as error:
            print(f"liqbands: no step summary: {error.strerror or error}", file=sys.stderr)


def main() -> NoReturn:
    """Enter here from the shell."""
    sys.exit(run(sys.argv[1:]))
