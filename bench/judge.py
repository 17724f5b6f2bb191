"""How well the bundled judge knows the held-out pictures of FER-2013.

python bench/judge.py --data fer2013.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

from emorph.core.config import read_toml
from emorph.data.store import FaceStore
from emorph.evaluate.metrics.statistics import bootstrap
from emorph.models.judge import Judge
from emorph.models.weights import count_parameters
from emorph.train.tasks.judge import held_out_confusion
from support.measure import table, write_section

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "examples" / "emorph-judge" / "judge.toml"


def main() -> None:
    """Measure and write the section "Judge"."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--judge", default="emorph-judge")
    arguments = parser.parse_args()
    if not arguments.data:
        print("bench/judge.py needs FER-2013's pictures: --data fer2013.parquet. RESULTS.md is left as it is.")
        return
    judge = Judge.from_pretrained(arguments.judge)
    split = read_toml(CONFIG).get("held_out", "val")
    faces = FaceStore(arguments.data, side_px=judge.config.image_size, channels=1, split=split)
    found = held_out_confusion(judge, faces)
    right = [float(i == j) for i, row in enumerate(found.counts) for j, n in enumerate(row) for _ in range(n)]
    recalls = [found.recall(emotion) for emotion in found.emotions]
    rows = [
        [emotion.word, *counts, f"{recall:.1%}"]
        for emotion, counts, (recall, _) in zip(found.emotions, found.counts, recalls, strict=True)
    ]
    share = bootstrap(right)
    mean_recall = sum(recall for recall, _ in recalls) / len(recalls)
    body = f"""`{arguments.judge}` ({count_parameters(judge) / 1e6:.2f} M parameters) on the {len(right)} held-out
pictures of {arguments.data.name}: accuracy {share.mean:.1%} (95 %: {share.low:.1%} to {share.high:.1%}), mean recall
{mean_recall:.1%}; seven classes. Rows are labels, columns the judge's answers:

{table(["", *(emotion.word for emotion in found.emotions), "recall"], rows)}
"""
    write_section("Judge", f"python bench/judge.py --data {arguments.data.name}", body)


if __name__ == "__main__":
    main()
