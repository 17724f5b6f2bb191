"""The models in the package: emorph-base reconstructs and edits the right way, as emorph-judge sees it."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from emorph import Editor, Emotion
from emorph.core.images import luminance, read_photo, to_levels, to_tensor
from emorph.core.landmarks import INNER_LIPS
from emorph.core.pretrained import BUNDLED
from emorph.core.types import AlignedFace, Landmarks, Target
from emorph.edit.change import paste
from emorph.edit.codec import Codec
from emorph.edit.painted_mouth import inside_painted_by
from emorph.edit.rig import RigEditor
from emorph.evaluate.judges.own import crop_for, judge_crops
from emorph.face3d.action_units import emotion_units
from emorph.faces.mask import face_mask
from emorph.models.judge import Judge


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge.from_pretrained()


TARGETS = [Target(emotion) for emotion in (Emotion.HAPPY, Emotion.SURPRISE, Emotion.ANGER)]


@pytest.fixture(scope="module")
def held_out(editor: Editor, shared_file: Callable[[str], Path]) -> list[AlignedFace]:
    """8 validation faces in colour; people the model never saw."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared_file("faces/lfw.parquet"), filters=[("split", "=", "val")])
    faces = []
    for i in np.linspace(0, len(table) - 1, 8).round().astype(int):
        row = table.slice(i, 1).to_pylist()[0]
        photo = read_photo(Image.open(io.BytesIO(row["image"])))
        points = np.frombuffer(row["landmarks68"], np.float16).reshape(68, 2).astype(np.float32)
        faces += editor.align(photo, [Landmarks(points, (0, 0, 1, 1), 1.0)])
    return faces


@pytest.fixture(scope="module")
def drawn(editor: Editor, held_out: list[AlignedFace]) -> torch.Tensor:
    """Their reconstructions and edits to ``TARGETS``, (B, 1 + 3, 3, 128, 128)."""
    return editor.decode_targets(editor.encode(held_out), TARGETS)


def pictures(faces: Sequence[AlignedFace]) -> torch.Tensor:
    return to_tensor(np.stack([face.pixels for face in faces]))


def ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    pairs = zip(to_levels(luminance(a))[..., 0], to_levels(luminance(b))[..., 0], strict=True)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(np.mean([structural_similarity(p, q, data_range=255, **options) for p, q in pairs]))


@torch.inference_mode()
def reconstructed(editor: Editor, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures as the model sees them, and what 15 evaluations there and 15 back make of them."""
    x = editor.model.tone(crops).take_off(crops).clamp(-1, 1)
    z, codec = editor.model.encode(x), Codec(editor.model, steps=15, solver_name="dpm")
    return x, codec.decode(codec.invert(x, z), z)


def test_held_out_faces_are_reconstructed(editor: Editor, held_out: list[AlignedFace]) -> None:
    assert ssim(*reconstructed(editor, pictures(held_out))) >= 0.98


def test_the_example_photo_is_reconstructed(editor: Editor, example_photo: Path) -> None:
    faces = editor.faces(example_photo)
    assert ssim(*reconstructed(editor, pictures(faces))) >= 0.98


def test_the_classifier_sees_the_smile_of_the_example(editor: Editor, example_photo: Path) -> None:
    assert editor.directions is not None
    code = editor.encode(editor.faces(example_photo))
    assert int(editor.directions.logits(code.z_sem).argmax()) == Emotion.HAPPY


def seen(editor: Editor, crops: torch.Tensor) -> torch.Tensor:
    """z_sem of pictures."""
    return editor.model.encode(editor.model.tone(crops).take_off(crops))


@torch.inference_mode()
def test_an_edit_survives_decoding(editor: Editor, drawn: torch.Tensor) -> None:
    """Encoded again, an edited face looks more like its target to the classifier than before."""
    assert editor.directions is not None
    for i, target in enumerate(TARGETS):
        before, after = (
            torch.log_softmax(editor.directions.logits(seen(editor, drawn[:, k])), dim=1)[:, target.emotion]
            for k in (0, 1 + i)
        )
        assert float((after - before).mean()) > 0.5, target


def test_the_judge_sees_the_edits(editor: Editor, judge: Judge, example_photo: Path) -> None:
    """The example smiles; the judge, which knows nothing of the editor's data, sees it change."""
    photo = read_photo(example_photo)
    face = editor.faces(photo)[0]
    targets = [Target(emotion) for emotion in (Emotion.NEUTRAL, Emotion.SURPRISE)]
    pictures = [photo, *(edit.photo for edit in editor.edit_faces(photo, [face], targets))]
    seen = judge_crops(judge, [crop_for(judge, picture, face.landmarks) for picture in pictures])
    column = judge.config.emotions.index
    assert seen[0].argmax() == column(Emotion.HAPPY)
    assert seen[1, column(Emotion.HAPPY)] < seen[0, column(Emotion.HAPPY)]
    assert seen[2, column(Emotion.SURPRISE)] > 2 * seen[0, column(Emotion.SURPRISE)]


def test_the_judge_knows_faces_that_it_never_saw(judge: Judge, shared_file: Callable[[str], Path]) -> None:
    data = shared_file("fer2013/fer2013.parquet")
    pytest.importorskip("datasets")
    from emorph.data.store import FaceStore
    from emorph.train.tasks.judge import held_out_confusion

    found = held_out_confusion(judge, FaceStore(data, side_px=48, channels=1, split="val"))
    assert int(found.counts.sum()) == 878
    assert found.accuracy >= 0.52


def test_the_rig_moves_what_its_buffers_say(example_photo: Path, ict_file: Path) -> None:
    """Of the smiling example, fitted again: a smile shrinks, and light comes from where it shall."""
    rig = RigEditor.from_pretrained(face_model=ict_file, device="cpu")
    faces = rig.sources(example_photo)
    names = rig.face_model.unit_names
    own = faces[0].coeffs
    unchanged, sober = rig.express(faces, emotion_units(rig.face_model, Emotion.NEUTRAL), (0.0, 1.0))
    np.testing.assert_array_equal(unchanged.photo.pixels, faces[0].photo.pixels)
    smile = [names.index("mouthSmile_L"), names.index("mouthSmile_R")]
    assert rig.reread(sober).coeffs.expression[0, smile].mean() < 0.9 * own.expression[0, smile].mean()
    light = own.light.clone()
    light[:, 1] = 0.4  # brighter where the skin faces the image right
    lit = rig.apply(faces, replace(faces[0], coeffs=replace(own, light=light)), ["light"])
    way = rig.reread(lit).coeffs.light[0, 1].mean() - own.light[0, 1].mean()
    assert way > (0.4 - own.light[0, 1].mean()) / 3  # light is carried over smoothly, at most twice as bright


@pytest.mark.parametrize(
    ("name", "megabytes", "words"),
    [
        ("emorph-base", 16.0, ("Labeled Faces in the Wild", "faces per emotion")),
        ("emorph-judge", 4.0, ("FER-2013", "contempt")),
        ("emorph-rig", 16.0, ("Labeled Faces in the Wild", "ICT-FaceKit")),
    ],
)
def test_they_are_small_enough_and_have_their_cards(name: str, megabytes: float, words: tuple[str, ...]) -> None:
    assert (BUNDLED / name / "model.safetensors").stat().st_size <= megabytes * 1e6
    card = (BUNDLED / name / "README.md").read_text()
    for word in ("research, non-commercial", *words):
        assert word in card


def test_mouths_are_painted_inside_the_face_alone(editor: Editor, example_photo: Path) -> None:
    """Painted or not, what lies outside the face stays; teeth that a smile keeps are the photo's own pixels."""
    photo = read_photo(example_photo)
    face = editor.faces(photo)[0]
    targets = [Target(Emotion.SURPRISE), Target(Emotion.HAPPY, 0.05), Target(Emotion.SAD, 0)]
    changes = editor.changes([face], targets)[0]
    finish = inside_painted_by(editor.painter)
    assert finish is not None
    mask = face_mask(face, photo.pixels.shape)
    outside = np.ones(photo.pixels.shape[:2], bool)
    height, width = mask.weights.shape
    outside[mask.top : mask.top + height, mask.left : mask.left + width] = mask.weights == 0
    teeth = np.zeros(photo.pixels.shape[:2], np.uint8)
    cv2.fillPoly(teeth, [np.rint(face.landmarks.points[INNER_LIPS]).astype(np.int32)], 1)

    results = []
    for target, change in zip(targets, changes, strict=True):
        plain = paste(photo, face, change)
        painted = finish(target)(photo, plain, face, change)
        assert np.array_equal(painted.pixels[outside], photo.pixels[outside])
        results.append((plain, painted))
    assert (results[0][0].pixels != results[0][1].pixels).any()
    nearly = np.abs(results[1][1].pixels.astype(int) - photo.pixels)[teeth.astype(bool)]
    assert np.median(nearly) <= 4
    assert np.array_equal(results[2][1].pixels, photo.pixels)
