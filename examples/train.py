"""Train a bundled model again: all configurations of a folder in their order.

python examples/train.py examples/emorph-base lfw_expressions.parquet

A part that is finished is left as it is; one that was stopped goes on. The same command goes on after any stop.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from emorph.core.config import read_toml
from emorph.train.checkpoint import step_folders

STOPPED = 130  # what a shell reports for a command that Ctrl-C ended


def main() -> int:
    """Run the parts; the exit status is that of the first one that fails."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    folder, data = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    for config in sorted(folder.glob("*.toml")):
        values = read_toml(config)
        link = folder / values["data"]["path"]
        if not link.exists():
            link.symlink_to(data)
        run = folder / values["out"]
        started = bool(step_folders(run))
        print(f"== {config}{', going on' if started else ''}", file=sys.stderr)
        command = ["resume", str(run)] if started else ["run", str(config)]
        status = subprocess.run([sys.executable, "-m", "emorph", "train", *command]).returncode
        if status:
            return status
        steps = values.get("budget", {}).get("steps")
        if steps and not run.joinpath(f"step_{steps:08d}").exists():
            print("Stopped; the same command goes on.", file=sys.stderr)
            return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
