"""Cut the mouths out of packs of face crops: python prepare.py mouths.parquet PACK.parquet..."""

from __future__ import annotations

import sys
from pathlib import Path

from emorph.data.mouths import prepare_mouths

if __name__ == "__main__":
    target, *packs = (Path(word) for word in sys.argv[1:])
    print(prepare_mouths(packs, target))
