"""Pictures that look the same: found whatever their size and compression, in any number, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from emorph.core.types import UInt8
from emorph.data import duplicates
from emorph.data.duplicates import copies, near_pairs
from emorph.data.splits import picture_hash, same_pictures
from made_data import affectnet, picture, row

pytest.importorskip("datasets", reason="needs the extra 'train'")
Command = Callable[..., tuple[int, str, str]]


def test_planted_copies_are_found_and_others_are_not(emorph: Command, tmp_path: Path) -> None:
    pictures = tmp_path / "Manually_Annotated_Images"
    names = [f"1/{i}.png" for i in range(8)]
    for i, name in enumerate(names):
        picture(pictures / name, seed=i, side=120)
    small = cv2.resize(cv2.imread(str(pictures / "1/2.png")), (70, 70), interpolation=cv2.INTER_AREA)
    assert cv2.imwrite(str(pictures / "1/copy.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 70])
    assert cv2.imwrite(str(pictures / "1/flat.png"), np.full((90, 90, 3), 128, np.uint8))
    assert cv2.imwrite(str(pictures / "1/flat2.png"), np.full((90, 90, 3), 130, np.uint8))
    train = [row(name, i % 2) for i, name in enumerate([*names, "1/flat.png", "1/flat2.png"])]
    affectnet(tmp_path, train, [row("1/copy.jpg", 0)])
    _, out, err = emorph("data", "scan", tmp_path, "--json")
    problems = json.loads(out)["problems"]
    assert problems["looks like another picture"]["count"] == 1, err
    example = problems["looks like another picture"]["examples"][0]
    assert "1/copy.jpg" in example
    assert "1/2.png" in example
    assert problems["looks like a picture of the other list"]["count"] == 1
    _, out, _ = emorph("data", "scan", tmp_path, "--json", "--no-files")
    assert "looks like another picture" not in json.loads(out)["problems"]


@pytest.mark.parametrize("n_scenes", [300, 5], ids=["all different", "frames of a few scenes"])
def test_bands_miss_nothing(n_scenes: int) -> None:
    """Whatever is compared: all that share a band, or, where very many do, what shares several."""
    rng = np.random.default_rng(0)
    scenes = rng.random((n_scenes, 256)) < 0.5
    bits = scenes[rng.permutation(300) % n_scenes] ^ (rng.random((300, 256)) < 0.025)
    bits[200:] = bits[:100] ^ (rng.random((100, 256)) < 0.04)  # some 10 bits each
    packed = np.packbits(bits, axis=1)
    distance = (bits[:, None] != bits[None]).sum(axis=2)
    expected = np.argwhere(np.triu(distance <= 10, 1))
    assert len(expected) > 20
    assert np.array_equal(near_pairs(packed, 10), expected)


def test_very_many_pictures_of_one_scene_are_told_apart_by_several_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all of them are compared with all, and ten times as many take a hundred times as long."""
    rng = np.random.default_rng(0)
    varying = rng.random(256) < 0.25  # the rest is the same in all
    packed = np.packbits((rng.random((4000, 256)) < 0.5) & varying, axis=1)
    compared: list[int] = []
    differing = duplicates._differing

    def counted(some: UInt8, others: UInt8) -> NDArray[np.int64]:
        compared.append(len(others))
        return differing(some, others)

    monkeypatch.setattr(duplicates, "_differing", counted)
    found = near_pairs(packed, 10)
    n_by_several = sum(compared)
    monkeypatch.setattr(duplicates, "MOST_AGREEING", 1)
    compared.clear()
    assert np.array_equal(near_pairs(packed, 10), found)
    assert n_by_several < 0.4 * sum(compared)


def test_groups_are_linked_by_chains_and_exact_copies() -> None:
    first = np.zeros(256, bool)
    first[::3] = True
    hashes: list[bytes | None] = []
    for n_changed in (0, 8, 16, 0):
        changed = first.copy()
        changed[:n_changed] ^= True
        hashes.append(np.packbits(changed).tobytes())
    far = np.packbits(~first).tobytes()
    found = copies([far, None, *hashes], max_bits=10)
    assert [group.members for group in found] == [(2, 3, 4, 5)]
    assert found[0].bits == 16
    assert copies([None, far]) == []


def test_what_has_no_look_has_no_hash() -> None:
    assert picture_hash(np.full((40, 40, 3), 9, np.uint8)) is None
    assert picture_hash(np.random.default_rng(0).integers(0, 256, (10, 40, 3), np.uint8)) is None
    assert picture_hash(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)) is not None
    assert same_pictures([None, b"a" * 32], [None, b"a" * 32]) == [(1, 1)]
