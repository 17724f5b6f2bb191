"""The painter of mouths: its crop, its network, the pairs it learns from, and its work on a photo."""

from __future__ import annotations

import itertools
import runpy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from emorph.core.errors import CheckpointError, ConfigError, DataError, ShapeError
from emorph.core.expressions import Emotion
from emorph.core.types import AlignedFace, Landmarks, Photo, Target
from emorph.data.mouths import STORED_PX, STORED_UNITS, held_out, prepare_mouths
from emorph.data.store import FaceStore
from emorph.diffusion.schedule import Schedule
from emorph.edit import painted_mouth
from emorph.edit.change import CropChange
from emorph.edit.mouth_light import DARK_SEED, LIGHT_OF, MOST, whites_over_skin
from emorph.edit.painted_mouth import (
    MouthChange,
    face_whites,
    lay_over,
    moved_pixels,
    paint_edit,
    paint_mouth,
    painted_mouths,
    unpainted_mouth,
)
from emorph.faces import align, motion_between
from emorph.faces.detect import known_face
from emorph.faces.mouth_crop import cut, exposure_gain, face_unit, laid_back, lip_gap, lip_masks, mouth_crop
from emorph.models.painter import Painter, PainterConfig, painter_beside, trailing, view_of, wishes
from emorph.train.loop import train
from emorph.train.tasks.painter import PainterRunConfig, mirrored_mouth
from emorph.train.tasks.painter_pairs import Mouth, PairConfig, make_pair
from emorph.train.tasks.painter_steps import FewStepsConfig, FewStepsLoss
from emorph.video.mouths import OPEN_GAP, TALKING_GAP, open_mouth, own_inside

TINY = PainterConfig(width_px=32, height_px=24, channels=(8, 16), blocks=(1, 1), embed_dim=16, num_heads=1)
LOWER_LIP = [65, 66, 67, 55, 56, 57, 58, 59]
UPPER_INNER, LOWER_INNER = [61, 62, 63], [67, 66, 65]
PACK_PX = 160
STEADY = PairConfig(jitter=0, turn_deg=0, zoom=0, shift=0, exposure=0, tint=0, blur_share=0, rim=(0.04, 0.04))


class OneColour(Painter):
    """Paints what it is told to, (3,) in [-1, 1]."""

    colour: Tensor = torch.tensor([-0.2, -0.5, -0.3])

    def paint(self, view: Tensor, wish: Tensor, noise: Tensor, *, steps: int = 8) -> Tensor:
        return self.colour[None, :, None, None].expand_as(noise) * view[:, 3:4] + view[:, :3] * (1 - view[:, 3:4])


@pytest.fixture(scope="module")
def points(landmarks: Landmarks) -> np.ndarray:
    return landmarks.points.astype(np.float64)


@pytest.fixture(scope="module")
def closed(points: np.ndarray) -> np.ndarray:
    """The example's landmarks with lips that touch."""
    found = points.copy()
    middle = (points[UPPER_INNER] + points[LOWER_INNER]) / 2
    found[UPPER_INNER], found[LOWER_INNER] = middle, middle
    return found


@pytest.fixture(scope="module")
def painter() -> Painter:
    torch.manual_seed(0)
    model = Painter(TINY)
    for parameter in model.parameters():  # else its last layer paints nothing
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


@pytest.fixture(scope="module")
def pack(photo: Photo, landmarks: Landmarks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Aligned crops of the example: four as they are, four whose points say that the lips touch."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    aligned = align(photo, landmarks, PACK_PX)
    rows = []
    for i in range(8):
        crop_points = aligned.crop_points()
        if i % 2:
            crop_points[LOWER_INNER] = crop_points[UPPER_INNER]
        rows.append(
            {
                "image": cv2.imencode(".png", aligned.pixels[..., ::-1])[1].tobytes(),
                "landmarks68": crop_points.astype("<f2").tobytes(),
                "quad_px": PACK_PX / 2,
                "split": "train" if i < 6 else "val",
                "identity": f"person_{i}",
                "source_set": "made",
                "label": ("happy", "not happy")[i % 2],
            }
        )
    path = tmp_path_factory.mktemp("pack") / "faces.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def mouths(pack: Path) -> Path:
    target = pack.parent / "mouths.parquet"
    assert prepare_mouths([pack], target) == {"train": 6, "val": 2}
    return target


def mouth_of(photo: Photo, points: np.ndarray) -> Mouth:
    crop = mouth_crop(points, (STORED_PX, STORED_PX), STORED_UNITS)
    pixels = np.clip(np.rint(cut(photo.pixels, crop)), 0, 255).astype(np.uint8)
    return Mouth(pixels, crop.points(points), crop.unit_px)


def test_a_unit_is_a_quarter_of_the_published_square(face: AlignedFace, points: np.ndarray) -> None:
    side = face.side_px * face.photo_px_per_crop_px
    assert face_unit(points) == pytest.approx(side / 4, rel=0.15)  # the square rounds, and measures along one axis


def test_a_crop_stands_upright_around_the_lips(photo: Photo, points: np.ndarray) -> None:
    turn = cv2.getRotationMatrix2D((256, 200), 25, 1.3)
    turned = cv2.warpAffine(photo.pixels, turn, (700, 700), flags=cv2.INTER_CUBIC)
    turned_points = points @ turn[:, :2].T + turn[:, 2]
    crops = [mouth_crop(each, (96, 72), 1.3) for each in (points, turned_points)]
    np.testing.assert_allclose(crops[0].points(points), crops[1].points(turned_points), atol=1e-6)
    lips = crops[0].points(points)[48:60]
    np.testing.assert_allclose((lips.min(axis=0) + lips.max(axis=0)) / 2, [47.5, 35.5], atol=1e-9)
    difference = cut(photo.pixels, crops[0]) - cut(turned, crops[1])
    assert np.abs(difference).mean() < 4


def test_a_crop_goes_back_to_where_it_was(photo: Photo, points: np.ndarray) -> None:
    crop = mouth_crop(points, (288, 216), 1.3)
    x, y = np.rint(points[62]).astype(int)
    back = laid_back(cut(photo.pixels, crop), crop, (x - 10, y - 8), (20, 16))
    assert np.abs(back - photo.pixels[y - 8 : y + 8, x - 10 : x + 10]).mean() < 2


def test_light_is_brought_to_one_level(photo: Photo, points: np.ndarray) -> None:
    levels = cut(photo.pixels, mouth_crop(points, (96, 72), 1.3))
    hidden = np.zeros((72, 96), np.float32)
    assert exposure_gain(levels * 0.3, hidden) == pytest.approx(exposure_gain(levels, hidden) / 0.3, rel=1e-4)


def inputs(n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_t, view, wish and noise of n made mouths."""
    generator = torch.Generator().manual_seed(seed)
    x, picture, noise = torch.randn(3, n, 3, TINY.height_px, TINY.width_px, generator=generator)
    masks = torch.rand(4, n, 1, TINY.height_px, TINY.width_px, generator=generator).round()
    wish = wishes(torch.zeros(n), torch.rand(n, generator=generator), torch.ones(n))
    return x, view_of(picture.clamp(-1, 1), *masks), wish, noise


def test_what_is_hidden_is_not_seen_unless_it_is_kept() -> None:
    picture = torch.rand(1, 3, 24, 32)
    hidden, kept = torch.zeros(1, 1, 24, 32), torch.zeros(1, 1, 24, 32)
    hidden[..., 8:16, :] = 1
    kept[..., :16] = 1
    view = view_of(picture, hidden, kept, hidden, hidden)
    assert not view[:, :3, 8:16, 16:].any()
    torch.testing.assert_close(view[:, :3, 8:16, :16], picture[:, :, 8:16, :16])
    torch.testing.assert_close(view[:, :3, :8], picture[:, :, :8])


def test_noise_outside_the_hidden_part_changes_nothing(painter: Painter) -> None:
    x, view, wish, _ = inputs(2)
    other = x + (1 - view[:, 3:4]) * torch.randn_like(x)
    t = torch.tensor([10, 900])
    torch.testing.assert_close(painter(x, t, view, wish), painter(other, t, view, wish))
    inside = x + view[:, 3:4]
    assert (painter(inside, t, view, wish) - painter(x, t, view, wish)).abs().max() > 1e-3


def test_a_painting_is_one_faces_own_and_leaves_the_rest(painter: Painter) -> None:
    _, view, wish, noise = inputs(3)
    together = painter.paint(view, wish, noise, steps=3)
    alone = painter.paint(view[1:2], wish[1:2], noise[1:2], steps=3)
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=0)
    outside = (1 - view[:, 3:4]).bool().expand_as(together)
    assert torch.equal(together[outside], view[:, :3][outside])
    other_wish = wishes(torch.zeros(3), torch.zeros(3), torch.ones(3))
    assert (painter.paint(view, other_wish, noise, steps=3) - together).abs().max() > 1e-4


def test_a_painter_is_saved_and_read(painter: Painter, tmp_path: Path) -> None:
    painter.save_pretrained(tmp_path / "own")
    again = Painter.from_pretrained(tmp_path / "own")
    assert again.config == TINY
    x, view, wish, _ = inputs(1)
    torch.testing.assert_close(again(x, torch.tensor([5]), view, wish), painter(x, torch.tensor([5]), view, wish))
    (tmp_path / "own" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not written by emorph"):
        Painter.from_pretrained(tmp_path / "own")


def test_every_evaluation_has_noise_to_remove() -> None:
    process = Schedule.cosine()
    one, four = trailing(process, 1), trailing(process, 4)
    assert one.timesteps.tolist() == [999]
    assert four.timesteps.tolist() == [250, 500, 749, 999]
    np.testing.assert_allclose(four.alphas_cumprod, process.alphas_cumprod[four.timesteps])


def test_colours_are_diffused_with_one_variance_and_come_back(painter: Painter) -> None:
    rgb = torch.rand(2, 3, 24, 32) * 2 - 1
    torch.testing.assert_close(painter.to_rgb(painter.from_rgb(rgb)), rgb)
    gray = painter.from_rgb(torch.full((1, 3, 1, 1), 0.5)) - painter.from_rgb(torch.zeros(1, 3, 1, 1))
    assert gray[0, 0] > 1
    assert gray[0, 1:].abs().max() < 1e-5  # brightness alone moves no colour


def test_another_size_is_refused(painter: Painter) -> None:
    x, view, wish, _ = inputs(1)
    with pytest.raises(ShapeError, match=r"\(B, 3, 24, 32\)"):
        painter(x[..., 1:], torch.tensor([5]), view, wish)
    with pytest.raises(ValueError, match="not divisible by 4"):
        PainterConfig(width_px=34, channels=(8, 16), blocks=(1, 1))


@pytest.fixture(scope="module")
def pairs(photo: Photo, points: np.ndarray, closed: np.ndarray) -> dict[str, tuple[Mouth, object]]:
    """What becomes of the example's mouth on each way, with nothing changed at random."""
    own, shut = mouth_of(photo, points), mouth_of(photo, closed)
    lips = cv2.fillPoly(shut.pixels.copy(), [np.rint(own.points[48:60]).astype(np.int32)], (150, 80, 85))
    shut = replace(shut, pixels=lips)
    found = {}
    for i, way in enumerate(("direct", "through_closed", "through_open")):
        shares = tuple(float(k == i) for k in range(3))
        config = STEADY.model_copy(update={"ways_open": shares, "ways_closed": shares})
        for name, mouth in (("open", own), ("closed", shut)):
            pair = make_pair(
                mouth, lambda is_open: own if is_open else shut, (96, 72), config, np.random.default_rng(0)
            )
            found[f"{name} {way}"] = pair
    return found


def test_a_direct_pair_sees_what_was_there(pairs: dict) -> None:
    pair = pairs["open direct"]
    np.testing.assert_array_equal(pair.seen, pair.truth)
    assert not pair.kept.any()
    assert pair.hidden[pair.inner > 0.5].all()
    assert 1.3 < pair.hidden.sum() / pair.inner.sum() < 5


def test_lips_that_went_there_and_back_are_nearly_where_they_were(pairs: dict) -> None:
    pair = pairs["open through_closed"]
    spoilt = np.abs(pair.seen - pair.truth).mean(axis=2)
    assert 0 < spoilt[pair.hidden == 0].mean() < 0.03
    assert spoilt[pair.inner > 0.9].mean() > 2 * spoilt[pair.hidden == 0].mean()  # the teeth were squeezed to a line
    assert not pair.kept.any()


def test_a_mouth_that_closes_keeps_lines_of_the_teeth_it_was_lent(pairs: dict) -> None:
    """The donor's teeth are brighter than the closed lips: what is left of them is seen, and marked as old."""
    pair = pairs["closed through_open"]
    line = pair.hidden > 0
    assert np.abs(pair.seen - pair.truth)[line].mean() > 3 * np.abs(pair.seen - pair.truth)[~line].mean()
    assert pair.kept[line].min() > 0.9
    assert not pair.inner.any()  # lips that touch have no inside, however their points are jittered


def test_a_pair_follows_from_its_seed(photo: Photo, points: np.ndarray) -> None:
    own = mouth_of(photo, points)
    first, again, other = (
        make_pair(own, lambda is_open: own, (96, 72), PairConfig(), np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.truth, again.truth)
    np.testing.assert_array_equal(first.hidden, again.hidden)
    assert np.abs(first.truth - other.truth).max() > 0.05


def test_a_mirror_moves_points_with_their_pixels(photo: Photo, points: np.ndarray) -> None:
    own = mouth_of(photo, points)
    mirrored = mirrored_mouth(own)
    np.testing.assert_array_equal(mirrored.pixels, own.pixels[:, ::-1])
    x, y = own.points[48]
    np.testing.assert_allclose(mirrored.points[54], [own.pixels.shape[1] - 1 - x, y])


def test_more_of_londons_persons_are_held_out() -> None:
    """Recorded: whoever measures painted smiles against real ones must know which persons no painter saw."""
    persons = [f"london_{number:03d}" for number in (2, 3, 5, 6, 8, 9)]
    assert [held_out(person, "london", "train") for person in persons] == [False, True, False, True, False, True]
    assert held_out("london_002", "london", "val")
    assert not held_out("london_003", "ffhq", "train")
    assert held_out("anyone", "lfw", "val")
    assert not held_out("anyone", "lfw", "train")


def test_a_pack_of_mouths_is_read_back(mouths: Path, pack: Path) -> None:
    store = FaceStore(mouths, side_px=STORED_PX, split="train")
    assert store.labels.tolist() == [1, -1] * 3  # "not happy" names no emotion
    item = store[0]
    middle = item["landmarks"][48:60]
    torch.testing.assert_close((middle.amin(0) + middle.amax(0)) / 2, torch.zeros(2), atol=2e-3, rtol=0)
    units = np.array(store.column("unit_px"))
    np.testing.assert_allclose(units, units[0])
    assert units[0] == pytest.approx(PACK_PX / 4 / 2, rel=0.15)  # the pack says that its crops were enlarged twice
    with pytest.raises(DataError, match="no column 'quad_px'"):
        prepare_mouths([mouths], mouths.with_name("again.parquet"))


def test_a_painter_trains_and_goes_on(mouths: Path, tmp_path: Path) -> None:
    config = PainterRunConfig.parse(
        {
            "out": str(tmp_path / "run"),
            "model": TINY.model_dump(),
            "data": {"path": str(mouths), "split": "train"},
            "optim": {"batch_size": 4, "lr": 1e-3},
            "budget": {"steps": 4},
            "samples": {"n": 0},
            "set_weights": {"made": 2.0},
        }
    )
    faces = config.data.open(*config.picture)
    whole = train(config, faces, devices=1, accelerator="cpu", show_progress=False)
    assert whole.step == 4
    half = config.model_copy(
        update={"out": str(tmp_path / "half"), "budget": config.budget.model_copy(update={"steps": 2})}
    )
    train(half, faces, devices=1, accelerator="cpu", show_progress=False)
    longer = half.model_copy(update={"budget": config.budget})
    resumed = train(longer, faces, resume=True, devices=1, accelerator="cpu", show_progress=False)
    first, second = (Painter.from_pretrained(end.folder / "ema") for end in (whole, resumed))
    for name, weight in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], weight)


def test_a_student_is_taught_where_the_teachers_path_ends(painter: Painter) -> None:
    """The teacher itself is without fault where one evaluation is left of its path, and not before."""
    _, view, wish, noise = inputs(4)
    errors = {}
    for steps in (1, 2):
        loss = FewStepsLoss(TINY, FewStepsConfig(teacher="unused", teacher_steps=steps, steps=steps), painter)
        loss.model.load_state_dict(painter.state_dict())
        for node in range(steps):
            t = torch.full((4,), node)
            errors[steps, node] = loss(noise, view, wish, t, noise)["loss"].item()
    assert errors[2, 0] > 100 * max(errors[1, 0], errors[2, 1])  # these are rounding
    assert not [name for name, _ in loss.named_parameters() if not name.startswith("model.")]
    with pytest.raises(ValueError, match="not a multiple"):
        FewStepsConfig(teacher="x", teacher_steps=8, steps=3)


def test_few_steps_are_trained_in_the_same_loop(mouths: Path, painter: Painter, tmp_path: Path) -> None:
    painter.save_pretrained(tmp_path / "teacher")
    config = PainterRunConfig.parse(
        {
            "out": str(tmp_path / "run"),
            "init": str(tmp_path / "teacher"),
            "model": TINY.model_dump(),
            "data": {"path": str(mouths), "split": "train"},
            "optim": {"batch_size": 4, "ema_decay": 0.0},
            "budget": {"steps": 1},
            "samples": {"n": 0},
            "few_steps": {"teacher": str(tmp_path / "teacher"), "teacher_steps": 2, "steps": 1},
        }
    )
    end = train(config, config.data.open(*config.picture), devices=1, accelerator="cpu", show_progress=False)
    student = Painter.from_pretrained(end.folder / "ema").state_dict()
    assert any(not torch.equal(weight, student[name]) for name, weight in painter.state_dict().items())


def test_what_is_seen_between_lips_that_hardly_part_is_not_stretched(
    painter: Painter, photo: Photo, landmarks: Landmarks
) -> None:
    def with_gap(gap: float) -> np.ndarray:
        points = landmarks.points.astype(np.float64)
        points[LOWER_INNER] = points[UPPER_INNER] + [0, gap * face_unit(points)]
        return points

    def kept(before: float, after: float) -> float:
        change = MouthChange(with_gap(before), with_gap(after))
        return float(unpainted_mouth(photo.pixels, change, painter).kept.max())

    assert kept(0.05, 0.25) < 0.3
    assert kept(0.2, 0.25) == pytest.approx(1)  # there are teeth to be kept
    assert kept(0.05, 0.05) == pytest.approx(1)  # and nothing to be stretched
    assert kept(0.2, 0.01) == 0


def test_teeth_do_not_become_narrower_with_the_lips(painter: Painter, photo: Photo, points: np.ndarray) -> None:
    def kept(width: float, opens_px: float = 0) -> float:
        after = opened(points, opens_px)
        after[48:, 0] = points[48:, 0].mean() + width * (points[48:, 0] - points[48:, 0].mean())
        return float(unpainted_mouth(photo.pixels, MouthChange(points, after), painter).kept.max())

    assert kept(1.0) == kept(1.1) == kept(0.85) == pytest.approx(1)
    assert 0.3 < kept(0.72) < 0.8
    assert kept(0.6) == 0  # what is left of them would be of another size
    wider = 0.1 * face_unit(points)
    assert kept(1.0, wider) == pytest.approx(1)
    assert 0.3 < kept(0.88, wider) < 0.8
    assert kept(0.8, wider) < 0.05


def test_the_dark_of_a_shout_is_no_smile_and_teeth_stay(landmarks: Landmarks) -> None:
    """Kept where enough of the gap is left, or where it is as light as it should be."""
    closed = landmarks.points.astype(np.float64)
    closed[LOWER_INNER] = closed[UPPER_INNER] + [0, 1]
    unit = face_unit(closed)
    shout, smiling, speaking = (
        MouthChange(opened(closed, 0.4 * unit), opened(closed, gap * unit)) for gap in (0, 0.1, 0.35)
    )
    assert [change.kept_in(0.5) for change in (smiling, speaking)] == [0, 1]
    assert shout.kept_in(0.5) == 0
    assert smiling.kept_in(1.0) == 1
    assert 0 < smiling.kept_in(0.78) < 1
    narrow = smiling.after.copy()
    narrow[48:, 0] = narrow[48:, 0].mean() + 0.8 * (narrow[48:, 0] - narrow[48:, 0].mean())
    squeezed = MouthChange(smiling.before, narrow)
    assert [squeezed.kept_in(light) for light in (1.0, 2.2)] == [1, 0]  # teeth of a laugh, where an O is dark
    assert smiling.kept_in(2.2) == 1


def test_a_painter_grows_deeper_and_paints_the_same_at_first(mouths: Path, painter: Painter, tmp_path: Path) -> None:
    view, wish, noise = inputs(2)[1:]
    deeper = painter.deeper([2 * n for n in TINY.blocks]).eval()
    assert len(list(deeper.parameters())) > len(list(painter.parameters()))
    torch.testing.assert_close(deeper.paint(view, wish, noise, steps=2), painter.paint(view, wish, noise, steps=2))
    with pytest.raises(ShapeError, match="expected at least"):
        deeper.deeper(TINY.blocks)
    deeper.save_pretrained(tmp_path / "deeper")
    painter.save_pretrained(tmp_path / "shallow")
    values = {"out": "x", "data": {"path": str(mouths), "split": "train"}, "budget": {"steps": 1}}
    task, small = (
        (config := PainterRunConfig.parse({**values, "model": model.config.model_dump()})).build(
            config.data.open(*config.picture), None
        )
        for model in (deeper, painter)
    )
    assert task.start(str(tmp_path / "shallow")).config == deeper.config
    with pytest.raises(ConfigError, match=r"set model\.blocks"):
        small.start(str(tmp_path / "deeper"))


def test_wide_mouths_are_drawn_more_often(mouths: Path) -> None:
    config = PainterRunConfig.parse(
        {
            "out": "x",
            "model": TINY.model_dump(),
            "data": {"path": str(mouths), "split": "train"},
            "budget": {"steps": 1},
        }
    )
    faces = config.data.open(*config.picture)
    task = config.build(faces, None)
    drawn = np.bincount(task.items.chosen, minlength=len(faces))
    assert drawn[::2].sum() > 2 * drawn[1::2].sum()
    with pytest.raises(DataError, match="open and closed"):
        config.model_copy(update={}).build(faces_of_one_kind(mouths), None)


def faces_of_one_kind(mouths: Path) -> FaceStore:
    """The open mouths alone."""
    store = FaceStore(mouths, side_px=STORED_PX, split="train")
    store._table = replace(store._table, rows=store._table.rows.select([0, 2, 4]))
    store.labels = store.labels[::2]
    return store


def opened(points: np.ndarray, by_px: float) -> np.ndarray:
    found = points.copy()
    found[LOWER_LIP, 1] += by_px
    return found


def test_landmarks_of_a_crop_are_taken_to_the_photo(face: AlignedFace, points: np.ndarray) -> None:
    after = opened(face.crop_points(), 3.0)
    change = MouthChange.in_crop(face, after)
    np.testing.assert_allclose(change.before, points, atol=1e-9)
    down = (change.after - change.before)[LOWER_LIP]
    np.testing.assert_allclose(np.linalg.norm(down, axis=1), 3.0 * face.photo_px_per_crop_px, rtol=1e-3)
    assert lip_gap(change.after) > lip_gap(change.before) + 0.05
    with pytest.raises(ShapeError, match="expected 68 finite landmarks"):
        MouthChange.in_crop(face, after[:5])


def test_a_mouth_is_painted_inside_alone(photo: Photo, points: np.ndarray) -> None:
    change = MouthChange(points, opened(points, 8.0))
    result = paint_mouth(photo, photo.pixels, change, OneColour(TINY))
    x, y = np.rint((change.after[62] + change.after[66]) / 2).astype(int)
    differs = (result.pixels != photo.pixels).any(axis=2)
    ys, xs = np.nonzero(differs)
    outer = change.after[48:60]
    reach = 0.09 * face_unit(points)
    assert xs.min() > outer[:, 0].min() - reach
    assert xs.max() < outer[:, 0].max() + reach
    assert ys.min() > outer[:, 1].min() - reach
    assert ys.max() < outer[:, 1].max() + reach
    ratio = result.pixels[y, x].astype(float) / ((OneColour.colour.numpy() + 1) * 127.5)
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.05)  # its colour, in the photo's light
    assert result.path == photo.path


def test_a_moved_mouth_is_seen_where_it_went(photo: Photo, face: AlignedFace) -> None:
    """Below the lower lip the chin is shifted down by as much as its landmarks."""
    before = face.crop_points()
    after = opened(before, 3.0)
    moved = moved_pixels(photo, face, motion_between(before, after, face.side_px))
    change = MouthChange.in_crop(face, after)
    was, now = (np.rint(points[57]).astype(int) for points in (change.before, change.after))
    patches = [
        pixels[y - 2 : y + 3, x - 4 : x + 5].astype(float)
        for pixels, (x, y) in ((photo.pixels, was), (moved, now), (photo.pixels, now))
    ]
    assert np.abs(patches[1] - patches[0]).mean() < 0.6 * np.abs(patches[2] - patches[0]).mean()
    assert np.array_equal(moved[-20:], photo.pixels[-20:])


def test_an_edit_is_painted_in_one_call(photo: Photo, face: AlignedFace, painter: Painter) -> None:
    before = face.crop_points()
    after = opened(before, 3.0)
    motion = motion_between(before, after, face.side_px)
    edited = replace(photo, pixels=moved_pixels(photo, face, motion))
    found = paint_edit(photo, edited, face, motion, after, painter, emotions=[(Emotion.SURPRISE, 1.0)])
    change = MouthChange.in_crop(face, after)
    light = LIGHT_OF[Emotion.SURPRISE] * face_whites(photo, change.before, painter)
    expected = paint_mouth(edited, edited.pixels, change, painter, light=light, seed=DARK_SEED)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    lighter = paint_edit(photo, edited, face, motion, after, painter, emotions=[(Emotion.SURPRISE, 1.0)], whites=2.0)
    assert (lighter.pixels != found.pixels).any()
    own_choice = paint_edit(photo, edited, face, motion, after, painter)
    assert (own_choice.pixels != found.pixels).any()


def test_a_painter_lies_in_its_models_folder(painter: Painter, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert painter_beside(tmp_path / "model") is None
    painter.save_pretrained(tmp_path / "model" / "painter")
    found = painter_beside(tmp_path / "model")
    assert found is not None
    assert found.config == TINY


def test_the_bundled_painter_puts_teeth_where_a_smile_had_none(photo: Photo, points: np.ndarray) -> None:
    """Its own teeth are hidden: what is painted is as light as a smile asks for, not as dark as a shout."""
    found = painter_beside("emorph-base")
    if found is None:
        pytest.skip("emorph-base comes without a painter")
    crop = mouth_crop(points, (96, 72), 1.3)
    inner = lip_masks(crop.points(points), crop.size)[0] > 0.9
    before = points.copy()
    before[LOWER_INNER] = before[UPPER_INNER]  # as if its lips had been closed: nothing old is shown
    levels = {}
    for emotion in (Emotion.HAPPY, Emotion.SURPRISE):
        painted = paint_mouth(photo, photo.pixels, MouthChange(before, points), found, light=LIGHT_OF[emotion])
        levels[emotion] = cut(painted.pixels, crop)[inner].mean()
    assert levels[Emotion.HAPPY] > 1.3 * levels[Emotion.SURPRISE]
    assert abs(levels[Emotion.HAPPY] - cut(photo.pixels, crop)[inner].mean()) < 50


def test_the_noise_hardly_tints_what_is_painted(
    photo: Photo, points: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all of its colours, some seeds paint violet teeth and others green ones."""
    found = painter_beside("emorph-base")
    if found is None:
        pytest.skip("emorph-base comes without a painter")
    before = points.copy()
    before[LOWER_INNER] = before[UPPER_INNER]
    unpainted = unpainted_mouth(photo.pixels, MouthChange(before, points), found, light=0.7)
    inner = lip_masks(unpainted.crop.points(points), unpainted.crop.size)[0] > 0.9

    def spread() -> float:
        mouths = painted_mouths([replace(unpainted, seed=seed) for seed in range(4)], found, steps=4)
        colours = np.array([levels[inner].mean(axis=0) for levels in mouths])
        return float((colours / colours.mean(axis=1, keepdims=True)).std(axis=0).max())

    little = spread()
    monkeypatch.setattr(painted_mouth, "TINT", 1.0)
    assert little < 0.5 * spread()


def test_seeds_are_compared_on_training_people(
    photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    script = Path(__file__).parents[1] / "examples" / "emorph-painter" / "seeds.py"
    trained, held = (
        next(name for name in map(str, range(99)) if held_out(name, "london", "train") is wanted)
        for wanted in (False, True)
    )
    png = cv2.imencode(".png", photo.pixels[..., ::-1])[1].tobytes()
    rows = [  # of who is held out no picture is opened
        {"identity": name, "source_set": "london", "split": "train", "label": label, "image": image}
        for name, image in ((trained, png), (held, b""))
        for label in ("neutral", "happy")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "london.parquet")
    out = tmp_path / "seeds.png"
    words = [str(tmp_path / "london.parquet"), "--seeds", "3", "24", "--out", str(out)]
    monkeypatch.setattr("sys.argv", [str(script), *words])
    runpy.run_path(str(script), run_name="__main__")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["seed", "3", "24", str(out)]
    assert float(lines[1][1]) != float(lines[2][1])
    assert cv2.imread(str(out)).shape == (5 * 72, 2 * 96, 3)


def test_teeth_are_as_white_as_the_eyes_whatever_skin_and_exposure(photo: Photo, points: np.ndarray) -> None:
    crop = mouth_crop(points, TINY.size, TINY.width_units)

    def whites(skin: int, eyes: int) -> float:
        pixels = np.full_like(photo.pixels, skin)
        for eye in (slice(36, 42), slice(42, 48)):
            cv2.fillPoly(pixels, [np.rint(points[eye]).astype(np.int32)], (eyes, eyes, eyes))
        return whites_over_skin(Photo(pixels), points, crop)

    assert whites(skin=170, eyes=160) == 1
    assert 1.3 < whites(skin=100, eyes=160) < whites(skin=80, eyes=160) < MOST
    assert whites(skin=20, eyes=160) == MOST
    assert whites(skin=50, eyes=80) == pytest.approx(whites(skin=100, eyes=160))
    assert whites_over_skin(photo, points + 10_000, crop) == 1  # eyes outside the photo


def test_lips_that_touch_are_left_alone(photo: Photo, closed: np.ndarray) -> None:
    assert paint_mouth(photo, photo.pixels, MouthChange(closed, closed + 1), OneColour(TINY)) is photo


def test_a_mouth_outside_the_photo_is_left_alone(photo: Photo, points: np.ndarray) -> None:
    gone = MouthChange(points, opened(points, 8.0) + 5000)
    assert paint_mouth(photo, photo.pixels, gone, OneColour(TINY)) is photo
    cut_off = Photo(np.ascontiguousarray(photo.pixels[: int(points[30, 1])]))  # below the nose
    assert face_whites(cut_off, points, OneColour(TINY)) == 1


def test_a_films_mouth_comes_to_be_seen_little_by_little(closed: np.ndarray) -> None:
    shares = [MouthChange(closed, opened(closed, float(px))).share_inside for px in np.linspace(0, 12, 61)]
    shown = [MouthChange(closed, opened(closed, float(px))).shows_inside for px in np.linspace(0, 12, 61)]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(later >= share for share, later in itertools.pairwise(shares))
    assert shares[shown.index(True) - 1] < 0.5 <= shares[shown.index(True)]
    assert sum(0 < share < 1 for share in shares) > 3


def test_a_films_mouth_that_has_left_the_picture_is_not_painted(photo: Photo, points: np.ndarray) -> None:
    to_photo, levels = np.eye(3), np.zeros((64, 64, 1), np.float32)
    for shift, is_there in ((0, True), (5000, False)):
        after = opened(points, 8.0) + shift
        face = AlignedFace(np.zeros((64, 64, 3), np.uint8), to_photo, known_face((points + shift).astype(np.float32)))
        change = CropChange(levels, levels, np.zeros((64, 64, 2), np.float32), None, after)
        found = open_mouth(OneColour(TINY), face, change, photo.pixels, [Target(Emotion.HAPPY)], 1.0, 0.0)
        assert (found is not None) == is_there


def test_a_mouth_that_talks_is_painted_throughout_and_one_that_laughs_keeps_its_teeth(
    photo: Photo, closed: np.ndarray
) -> None:
    def kept(gaps: np.ndarray) -> np.ndarray:
        mouths = [opened(closed, gap * face_unit(closed)) for gap in gaps]
        return own_inside(np.stack(mouths), np.arange(len(gaps)) / 25)

    talk = np.array([0.02, 0.08, 0.2, 0.12] * 12)
    assert talk.mean() < TALKING_GAP
    assert kept(talk).max() < 0.05
    laugh = np.array([0.02] * 30 + [0.25, 0.28] * 15)
    assert kept(laugh)[:20].max() == 0
    assert kept(laugh)[-15:].min() == 1
    assert np.abs(np.diff(kept(laugh))).max() < 0.5
    assert kept(np.array([OPEN_GAP + 0.1] * 20 + [0.01] + [OPEN_GAP + 0.1] * 20))[20] == 0  # a blink of closed lips
    before = opened(closed, 8.0)
    whole = AlignedFace(np.zeros((64, 64, 3), np.uint8), np.eye(3), known_face(before.astype(np.float32)))
    levels = np.zeros((64, 64, 1), np.float32)
    change = CropChange(levels, levels, np.zeros((64, 64, 2), np.float32), None, opened(before, 8.0))
    for own in (0.0, 0.4, 1.0):
        found = open_mouth(OneColour(TINY), whole, change, photo.pixels, [Target(Emotion.HAPPY)], 1.0, own)
        assert found is not None
        assert found.unpainted.kept.max() == pytest.approx(own)


def test_several_mouths_are_painted_as_each_alone(photo: Photo, points: np.ndarray, painter: Painter) -> None:
    mouths = [unpainted_mouth(photo.pixels, MouthChange(points, opened(points, px)), painter, 0.5) for px in (4.0, 9.0)]
    together = painted_mouths(mouths, painter, steps=2)
    for mouth, levels in zip(mouths, together, strict=True):
        (alone,) = painted_mouths([mouth], painter, steps=2)
        np.testing.assert_allclose(levels, alone, atol=0.05)
    assert lay_over(photo, photo.pixels, mouths[0], together[0], share=0.0).pixels is not photo.pixels
    np.testing.assert_array_equal(lay_over(photo, photo.pixels, mouths[0], together[0], share=0.0).pixels, photo.pixels)


def test_a_darker_photo_gets_the_same_mouth_darker(photo: Photo, points: np.ndarray, painter: Painter) -> None:
    change = MouthChange(points, opened(points, 8.0))
    dark = replace(photo, pixels=np.rint(photo.pixels * 0.4).astype(np.uint8))
    bright, dim = (paint_mouth(each, each.pixels, change, painter, steps=2).pixels for each in (photo, dark))
    changed = (bright != photo.pixels).any(axis=2)
    inside = bright[changed].astype(float)
    fits = (inside > 5) & (inside < 250)  # what is clipped cannot be compared
    assert np.abs(inside * 0.4 - dim[changed])[fits].mean() < 3


def test_the_seed_decides_and_nothing_else(photo: Photo, points: np.ndarray, painter: Painter) -> None:
    change = MouthChange(points, opened(points, 8.0))
    first, again, other = (
        paint_mouth(photo, photo.pixels, change, painter, steps=2, seed=seed).pixels for seed in (0, 0, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_pixels_of_another_photo_are_refused(photo: Photo, points: np.ndarray, painter: Painter) -> None:
    with pytest.raises(ShapeError, match="expected moved pixels"):
        paint_mouth(photo, photo.pixels[1:], MouthChange(points, points), painter)
