"""The guest's side of a test: named checks, one line each on standard output."""

import traceback

_count = 0


def _line(text):
    print(" ".join(str(text).split("\n")), flush=True)


def check(name, expected, actual):
    """One check: passes where `actual` equals `expected`."""
    verdict(name, expected == actual, expected, actual)


def verdict(name, passed, expected, actual):
    global _count
    _count += 1
    if passed:
        _line(f"PASS {name}")
    else:
        _line(f"FAIL {name} expected={expected!r} actual={actual!r}")


def note(text):
    """A figure for the reader; neither passes nor fails."""
    _line(f"NOTE {text}")


class cell:
    """A part of the test whose exception is one failure; the rest goes on."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None or not issubclass(kind, Exception):
            return False
        frames = traceback.extract_tb(trace)
        where = ([frame for frame in frames if frame.filename.endswith("guest.py")] or frames)[-1]
        verdict(self.name, False, "no exception", f"{kind.__name__}: {error} ({where.name}:{where.lineno})")
        return True


def finish():
    """The plan: a truncated output is noticed by its absence."""
    _line(f"PLAN {_count}")
