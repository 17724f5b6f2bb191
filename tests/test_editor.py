"""The editor: photo in, photo out, whatever the weights. A tiny random model stands in for a trained one."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from emorph import Editor, Emotion
from emorph.core.errors import CheckpointError, MissingAssetError, NoFaceError, UnknownNameError
from emorph.core.images import read_photo, to_levels
from emorph.core.types import FaceCode, Photo, Target
from emorph.edit import latent
from emorph.edit.crops import DEFAULT_STEPS
from emorph.edit.sheet import GAP_PX, LABEL_PX, NAME_PX, Row, grid, rows_of, tile, tiles
from emorph.faces.mask import face_mask
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.directions import Directions
from emorph.models.latent import LatentNetConfig
from profiles import linear_rgb
from test_samplers import flat_denoiser
from tiny import tiny_config, tiny_directions, tiny_editor, tiny_model

ALL = [Target(emotion) for emotion in Emotion]


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@pytest.fixture(scope="module")
def two(photo: Photo) -> Photo:
    """The example photo twice, side by side, the right one mirrored and smaller."""
    half = np.asarray(Image.fromarray(photo.pixels[:, ::-1]).resize((384, 384), Image.Resampling.LANCZOS))
    canvas = np.full((512, 896, 3), 128, np.uint8)
    canvas[:, :512] = photo.pixels
    canvas[64:448, 512:] = half
    return Photo(canvas)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_edit_changes_the_face_and_nothing_else(photo: Photo, channels: int) -> None:
    edit = tiny_editor(channels).edit(photo, to="happy")
    assert edit.image.size == (512, 512)
    changed = (edit.photo.pixels != photo.pixels).any(axis=2)
    assert changed.sum() > 500
    mask = face_mask(edit.face, photo.pixels.shape)
    allowed = np.zeros(changed.shape, bool)
    h, w = mask.weights.shape
    allowed[mask.top : mask.top + h, mask.left : mask.left + w] = mask.weights > 0
    assert not (changed & ~allowed).any()
    assert allowed.mean() < 0.2


def test_strength_0_is_the_photo_and_the_reconstruction(editor: Editor, photo: Photo) -> None:
    unchanged, strong = editor.edit_many(photo, [Target(Emotion.HAPPY, 0.0), Target(Emotion.HAPPY, 1.0)])
    assert np.array_equal(unchanged.photo.pixels, photo.pixels)
    assert np.array_equal(unchanged.after, unchanged.before)
    code = editor.encode([unchanged.face])
    assert code.x_T is not None
    np.testing.assert_allclose(unchanged.before, to_levels(editor.decode(code.x_T, code.z_sem))[0], atol=1e-2)
    assert not np.array_equal(strong.photo.pixels, photo.pixels)
    alone = editor.edit(photo, to="happy", strength=0)
    assert np.array_equal(alone.photo.pixels, photo.pixels)


def test_strength_0_needs_no_directions(photo: Photo) -> None:
    plain = Editor(tiny_model(), None, model_id="plain", device="cpu", steps=4)
    assert np.array_equal(plain.edit(photo, "sad", 0).photo.pixels, photo.pixels)
    with pytest.raises(MissingAssetError, match=r"knows no emotions.*emorph train run.*--directions"):
        plain.edit(photo, "sad", 1)


def test_a_face_alone_equals_that_face_in_a_batch(editor: Editor, two: Photo) -> None:
    """Editing face 3 alone equals editing it in a batch of 8, to 1e-4 in [-1, 1]."""
    left, right = editor.faces(two, "all")
    faces = [left, right] * 4
    together = editor.decode_targets(editor.encode(faces), ALL)
    alone = editor.decode_targets(editor.encode([faces[3]]), [Target(Emotion.FEAR)])
    assert float((together[3, 0] - alone[0, 0]).abs().max()) < 1e-4
    assert float((together[3, 1 + Emotion.FEAR] - alone[0, 1]).abs().max()) < 1e-4
    assert float((together[2, 0] - alone[0, 0]).abs().max()) > 1e-2  # another face is another picture


def test_all_faces_are_edited_and_each_alone_where_asked(editor: Editor, two: Photo) -> None:
    def changed(which: str | int) -> tuple[bool, bool]:
        different = (editor.edit(two, "anger", face=which).photo.pixels != two.pixels).any(axis=(0, 2))
        return bool(different[:512].any()), bool(different[512:].any())

    assert changed("all") == (True, True)
    assert changed("largest") == (True, False)
    assert changed("2") == changed(2) == (False, True)
    with pytest.raises(NoFaceError):
        editor.edit(two, "anger", face="3")


def test_changing_z_changes_the_picture(editor: Editor, photo: Photo) -> None:
    code = editor.encode(editor.faces(photo))
    pictures = editor.decode_targets(code, ALL)[0]
    for i in range(len(ALL)):
        for j in range(i):
            assert float((pictures[1 + i] - pictures[1 + j]).abs().mean()) > 1e-3, (ALL[i], ALL[j])


def test_a_code_of_another_model_is_refused(editor: Editor, photo: Photo) -> None:
    code = editor.encode(editor.faces(photo))
    with pytest.raises(CheckpointError, match="made by 'other'"):
        editor.decode_targets(FaceCode(code.z_sem, code.x_T, "other"), ALL)


def test_unknown_emotion_fails_before_the_work(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "encode", None)
    with pytest.raises(UnknownNameError, match="did you mean 'happy'"):
        editor.edit("none.jpg", to="hapy")


def test_progress_counts_every_evaluation(editor: Editor, photo: Photo) -> None:
    seen: list[tuple[int, int]] = []
    editor.edit(photo, "sad", on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 8) for i in range(8)]


def test_progress_over_several_chunks_ends_at_the_total(editor: Editor) -> None:
    """A row's evaluations are the total; of 80 rows in three chunks every step is a third of one."""
    seen: list[tuple[int, int]] = []
    editor.decode(
        torch.zeros(80, 1, 32, 32), torch.zeros(80, 32), on_step=lambda done, total: seen.append((done, total))
    )
    assert [done for done, _ in seen] == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]
    assert {total for _, total in seen} == {4}


def test_sheet_has_a_tile_for_each(editor: Editor, photo: Photo) -> None:
    edits = editor.edit_many(photo, editor.sheet_targets())
    sheet = grid([tiles(edits), tiles(edits)])
    assert sheet.width == 9 * 256 + 8 * 4
    assert sheet.height == 28 + 2 * 256 + 4
    first_row, second_row = (np.asarray(sheet)[y : y + 256] for y in (28, 28 + 260))
    assert np.array_equal(first_row, second_row)
    assert [edit.target.emotion for edit in edits] == list(Emotion)
    assert editor.sheet(photo).size == (sheet.width, 28 + 256)


def test_a_sheet_of_all_faces_has_a_row_for_each(editor: Editor, photo: Photo) -> None:
    pair = Photo(np.hstack([photo.pixels, photo.pixels[:, ::-1]]))
    edits = editor.edit_many(pair, [Target(Emotion.SAD)], face="all")
    rows = rows_of(edits, "two.png")
    assert [row.name for row in rows] == ["two.png (1 of 2)", "two.png (2 of 2)"]
    for row, face in zip(rows, edits[0].faces, strict=True):
        assert row.tiles == (tile(pair, face), tile(edits[0].photo, face))
    assert editor.sheet(pair, to=["sad"], face="all").height == 28 + 2 * 256 + 4


def test_a_strip_tells_all_its_strengths(editor: Editor, photo: Photo) -> None:
    """As its files do; where all are the usual one, nobody asks."""
    for strengths, titles in (((0.5, 1.0), ("Original", "Sad 0.5", "Sad 1")), ((1.0,), ("Original", "Sad"))):
        (row,) = rows_of(editor.edit_many(photo, [Target(Emotion.SAD, strength) for strength in strengths]))
        assert row.titles == titles


def test_rows_of_photos_of_one_name_can_be_told_apart(editor: Editor, example_photo: Path, tmp_path: Path) -> None:
    copies = [tmp_path / folder / "me.png" for folder in ("a", "b")]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(example_photo.read_bytes())
    sheet = np.asarray(editor.sheet([*copies], to=["sad"]))
    above = [sheet[y : y + NAME_PX] for y in (LABEL_PX, LABEL_PX + NAME_PX + 256 + GAP_PX)]
    assert not np.array_equal(*above)


def test_long_names_and_titles_are_wrapped() -> None:
    face, long = Image.new("RGB", (128, 128), "red"), "me" * 40
    short = grid([Row((face,), ("Sad",), "a"), Row((face,), ("Sad",), "b")])
    names = [f"{long}{which}{long}.jpg" for which in "xy"]
    named = np.asarray(grid([Row((face,), ("Sad",), name) for name in names]))
    more = named.shape[0] - short.height
    assert more > 0
    assert more % (2 * NAME_PX) == 0
    n = NAME_PX + more // 2
    first, second = (named[y : y + n] for y in (LABEL_PX, LABEL_PX + n + 128 + GAP_PX))
    assert not np.array_equal(first, second)
    assert (named[LABEL_PX + n : LABEL_PX + n + 128] == (255, 0, 0)).all()
    titled = np.asarray(grid([Row((face, face), ("Sad", "surprise 0.5 + happy 0.5"))]))
    assert titled.shape[0] == LABEL_PX + NAME_PX + 128
    assert (titled[: LABEL_PX + NAME_PX, :128].min(axis=(1, 2)) == 255)[:NAME_PX].all()  # "Sad" stays at its column
    assert (titled[-128:, :128] == (255, 0, 0)).all()


def test_sampling_needs_a_latent_net(editor: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingAssetError, match="has no latent net"):
        editor.sample([1])
    torch.manual_seed(0)
    model = tiny_model()
    config = model.config.model_copy(update={"latent": LatentNetConfig(z_dim=32, hidden=16, num_layers=3)})
    drawing = type(model)(config).eval()
    drawing.latent_stats = tiny_directions().stats
    able = Editor(drawing, device="cpu", steps=4)
    together = able.sample([3, 4], latent_steps=5)
    assert together.shape == (2, 1, 32, 32)
    assert float((able.sample([4], latent_steps=5)[0] - together[1]).abs().max()) < 1e-4
    monkeypatch.setattr(type(drawing), "denoiser", lambda self, z, reuse: flat_denoiser(self.diffusion, 0.3))
    torch.testing.assert_close(able.sample([3], latent_steps=5), torch.full((1, 1, 32, 32), 0.3), atol=1e-4, rtol=0)


# -- where z goes ----------------------------------------------------------------------------------------------------


def test_the_step_leads_from_what_is_seen_to_the_target() -> None:
    directions = tiny_directions()
    assert directions.means is not None
    z = torch.randn(3, 32)
    targets = [Target(Emotion.SAD, 0.5), Target(Emotion.SAD, 1.0), Target(Emotion.SAD, 0.0)]
    half, full, none = latent.edited_codes(z, directions, targets).unbind(1)
    assert torch.equal(none, z)
    seen = torch.softmax(directions.logits(z), dim=-1)
    step = directions.stats.normalise(full) - directions.stats.normalise(z)
    torch.testing.assert_close(step, directions.means[Emotion.SAD] - seen @ directions.means, atol=1e-4, rtol=0)
    torch.testing.assert_close(half - z, (full - z) / 2, atol=1e-4, rtol=0)
    doubled = dataclasses.replace(directions, gain=2.0)
    torch.testing.assert_close(latent.edited_codes(z, doubled, targets)[:, 0], full, atol=1e-4, rtol=0)


def test_a_face_that_shows_the_target_already_stays() -> None:
    directions = tiny_directions()
    sure = dataclasses.replace(directions, weight=1000 * directions.weight)
    z = torch.randn(5, 32)
    shown = sure.logits(z).argmax(dim=1)
    for i, label in enumerate(shown.tolist()):
        moved = latent.edited_codes(z[i : i + 1], sure, [Target(Emotion(label))])[:, 0]
        torch.testing.assert_close(moved, z[i : i + 1], atol=1e-4, rtol=0)


def test_official_directions_move_along_their_weight() -> None:
    ours = tiny_directions()
    official = Directions(ours.weight[:2], ours.bias[:2], ("Smiling", "Young"), ours.stats)
    assert latent.editable(official) == [Emotion.HAPPY]
    z = torch.randn(2, 32)
    moved = latent.edited_codes(z, official, [Target(Emotion.HAPPY, 1.0), Target(Emotion.HAPPY, 0.0)])
    step = official.stats.normalise(moved[:, 0]) - official.stats.normalise(z)
    expected = 0.3 * 32**0.5 * official.weight[0] / official.weight[0].norm()
    torch.testing.assert_close(step, expected.expand(2, -1), atol=1e-4, rtol=0)
    assert torch.equal(moved[:, 1], z)
    with pytest.raises(UnknownNameError, match="'sad' is not known; known: happy"):
        latent.edited_codes(z, official, [Target(Emotion.SAD)])


def test_a_wide_gamut_photo_keeps_its_profile_and_a_sheet_is_srgb(photo: Photo, editor: Editor, tmp_path: Path) -> None:
    edit = editor.edit(dataclasses.replace(photo, icc=linear_rgb()), to="sad")
    edit.image.save(tmp_path / "edit.png")
    assert read_photo(tmp_path / "edit.png").icc == linear_rgb()
    flat = dataclasses.replace(edit.photo, pixels=np.full_like(photo.pixels, 55))
    np.testing.assert_allclose(np.asarray(tile(flat, edit.face)), 128, atol=1)


def test_a_model_states_its_own_steps(tmp_path: Path) -> None:
    few = DiffAE(tiny_config().model_copy(update={"edit_steps": 3}))
    few.save_pretrained(tmp_path / "few")
    assert Editor.from_pretrained(tmp_path / "few", device="cpu").steps == 3
    assert Editor.from_pretrained(tmp_path / "few", device="cpu", steps=7).steps == 7
    assert Editor(tiny_model(), device="cpu").codec.steps == DEFAULT_STEPS
    with pytest.raises(ValueError, match="edit_steps"):
        DiffAEConfig.model_validate({**tiny_config().model_dump(), "edit_steps": 1})
