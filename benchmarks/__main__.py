"""`python -m benchmarks [name …]`: run the named benchmarks, or all of them."""

from __future__ import annotations

import sys

from benchmarks import dashboard, dashboard_load, forecast, readers, trends

BENCHMARKS = {
    "trends": trends.main,
    "forecast": forecast.main,
    "readers": readers.main,
    "dashboard": dashboard.main,
    "dashboard_load": dashboard_load.main,
}


def main(names: list[str]) -> int:
    """Run benchmarks by name; an unknown name prints those that there are."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
