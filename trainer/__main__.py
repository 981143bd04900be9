"""python -m trainer: train from flags or a YAML/JSON file; `… demo` runs the demo."""

from __future__ import annotations

import sys

_PACKAGES = ("torch", "transformers", "accelerate", "peft", "datasets")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status (0 done, 2 bad input, 130 interrupted)."""
    try:
        from trainer.cli import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _PACKAGES:
            raise
        sys.stderr.write(
            f"seesaw: training needs the package {error.name}, which is not installed; run "
            "pip install -r requirements.txt\n"
        )
        return 2
    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
