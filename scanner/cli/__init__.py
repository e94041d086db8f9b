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
        return leave.code if isinstance(leave.code, int) else ConfigError.exit_code
    except ScannerError as error:
        print(f"liqbands: {hide(str(error))}", file=sys.stderr)
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


def main() -> NoReturn:
    """Enter here from the shell."""
    sys.exit(run(sys.argv[1:]))
