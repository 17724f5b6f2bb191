"""Labels, model folders and records."""

import json
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from emorph.core import pretrained, records
from emorph.core.errors import CheckpointError, DataError, MissingAssetError, UnknownNameError
from emorph.core.expressions import Emotion
from emorph.core.pretrained import BUNDLED, atomic_folder, bundled_models, locate, read_config, read_weights
from emorph.core.records import EditRecord
from emorph.models import DiffAE
from emorph.models.directions import AffectAxes, Directions
from emorph.models.mouth import MouthAxes
from emorph.models.weights import fingerprint
from tiny import tiny_directions, tiny_model


def test_emotions_have_affectnets_codes() -> None:
    words = ["neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"]
    assert [emotion.word for emotion in Emotion] == words
    assert [int(emotion) for emotion in Emotion] == list(range(8))


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("Happiness", Emotion.HAPPY),
        ("ANGRY", Emotion.ANGER),
        (" sad ", Emotion.SAD),
        (4, Emotion.FEAR),
        ("軽蔑", Emotion.CONTEMPT),
        ("幸せ", Emotion.HAPPY),
        ("恐怖", Emotion.FEAR),
    ],
)
def test_other_label_sets_map_by_name(name: str | int, emotion: Emotion) -> None:
    assert Emotion.parse(name) is emotion
    assert isinstance(name, int) or Emotion.known(name) is emotion


@pytest.mark.parametrize("word", ["suprise", "train", "", "3"])
def test_a_word_may_be_no_emotion(word: str) -> None:
    assert Emotion.known(word) is None


@pytest.mark.parametrize(
    ("name", "hint"), [("suprise", "did you mean 'surprise'"), ("x", "known: neutral, happy"), (8, "known: 0, 1")]
)
def test_unknown_emotions_are_refused(name: str | int, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=hint):
        Emotion.parse(name)


def test_prototypes_lie_on_the_plane_and_differ() -> None:
    points = [emotion.valence_arousal for emotion in Emotion]
    assert len(set(points)) == 8
    assert all(-1 <= v <= 1 for point in points for v in point)


def test_model_folder_round_trip(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path / "a" / "model")
    again = DiffAE.from_pretrained(tmp_path / "a" / "model")
    assert again.config == model.config
    assert not again.training
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items())
    model.save_pretrained(tmp_path / "half", dtype=torch.float16)
    half = DiffAE.from_pretrained(tmp_path / "half")
    assert next(half.parameters()).dtype == torch.float32


def test_fingerprints_tell_models_apart() -> None:
    assert fingerprint(tiny_model(seed=0)) == fingerprint(tiny_model(seed=0))
    assert fingerprint(tiny_model(seed=0)) != fingerprint(tiny_model(seed=1))


def test_a_failed_write_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "config.json").write_text("old")

    def fail() -> None:
        with atomic_folder(target) as folder:
            (folder / "config.json").write_text("new")
            raise OSError("disk full")

    with pytest.raises(CheckpointError, match=r"model cannot be written \(disk full\); make room, or"):
        fail()
    assert (target / "config.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with atomic_folder(target) as folder:
        (folder / "config.json").write_text("newer")
    assert (target / "config.json").read_text() == "newer"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", [False, True])
def test_a_stop_between_the_two_renames_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, after: bool
) -> None:
    target = tmp_path / "model"
    tiny_directions().save_pretrained(target)
    rename, before = Path.replace, (target / "config.json").stat().st_ino

    def interrupted(self: Path, to: Path) -> Path:
        """Before the new folder takes its name, or just after the old one has lost it."""
        if self == target and after:
            rename(self, to)
        if (self.name.startswith(".model.") and not self.name.endswith(".old")) or (self == target and after):
            raise stop
        return rename(self, to)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt if isinstance(stop, KeyboardInterrupt) else CheckpointError):
        tiny_directions().save_pretrained(target)
    assert list(tmp_path.iterdir()) == [target]
    assert (target / "config.json").stat().st_ino == before


def test_what_is_saved_over_and_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").write_text("precious")
    with pytest.raises(CheckpointError, match="notes cannot be overwritten: it is not a folder"):
        tiny_directions().save_pretrained(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "precious"
    (tmp_path / "disk" / "model").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "model")
    for _ in range(2):
        tiny_directions().save_pretrained(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert {p.name for p in (tmp_path / "disk" / "model").iterdir()} == {"config.json", "model.safetensors"}

    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    tiny_directions().save_pretrained(tmp_path / "link")


def test_a_disk_that_fills_is_one_sentence(tmp_path: Path) -> None:
    tiny_directions().save_pretrained(tmp_path / "model")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file too large is then an error, as a full disk is
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"model cannot be written \(.*too large.*\); make room, or"):
            tiny_directions().save_pretrained(tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    Directions.from_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]


def test_saving_never_takes_other_files_along(tmp_path: Path) -> None:
    (tmp_path / "runs" / "precious").mkdir(parents=True)
    for save in (tiny_model().save_pretrained, tiny_directions().save_pretrained):
        with pytest.raises(CheckpointError, match="holds precious, which is not a model file"):
            save(tmp_path / "runs")
    assert (tmp_path / "runs" / "precious").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        tiny_model().save_pretrained(tmp_path / "file" / "model")


def test_damaged_folders_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        read_config(tmp_path, "diffae")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        read_config(tmp_path, "diffae")
    (tmp_path / "config.json").write_text(json.dumps({"format": "emorph", "kind": "directions", "config": {}}))
    with pytest.raises(CheckpointError, match="holds a 'directions', but a 'diffae' is needed"):
        read_config(tmp_path, "diffae")
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("lost", "added", "message"),
    [
        (["mouth.share"], {}, r"mouth\.share is missing from its weights"),
        (["affect.weight", "affect.bias"], {}, r"affect\.weight is missing from its weights"),
        (["conds_std"], {}, "conds_std is missing from its weights"),
        ([], {"mouth.shares": torch.ones(3)}, r"hold mouth\.shares, which directions do not have"),
        (["means"], {"mean": torch.ones(8, 32)}, "hold mean, which directions do not have"),
        (["means", "mouth.", "affect."], {}, ""),
    ],
)
def test_half_a_part_of_directions_is_refused(
    tmp_path: Path, lost: list[str], added: dict[str, Tensor], message: str
) -> None:
    mouth = MouthAxes(torch.ones(3, 32), torch.ones(3), torch.ones(3, 32), torch.ones(3), torch.ones(8, 3))
    affect = AffectAxes(torch.ones(2, 32), torch.ones(2), torch.ones(2, 32))
    replace(tiny_directions(), mouth=mouth, affect=affect).save_pretrained(tmp_path / "d")
    found = {key: value for key, value in read_weights(tmp_path / "d").items() if not key.startswith(tuple(lost))}
    save_file(found | added, tmp_path / "d" / "model.safetensors")
    if message:
        with pytest.raises(CheckpointError, match=f"d does not fit: .*{message}"):
            Directions.from_pretrained(tmp_path / "d")
    else:
        directions = Directions.from_pretrained(tmp_path / "d")
        assert (directions.means, directions.mouth, directions.affect) == (None, None, None)


def test_names_are_found_without_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emorph.core.pretrained._download", None)
    assert locate(tmp_path) == tmp_path
    for name in bundled_models():
        assert (locate(name) / "config.json").exists()
    with pytest.raises(UnknownNameError, match="model 'emorph-bse' is not known"):
        locate("emorph-bse")
    with pytest.raises(CheckpointError, match="no such file or folder"):
        locate("runs/x/last.ckpt")


def test_official_names_mean_the_users_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path))
    place = tmp_path / "ffhq256_autoenc" / "last.ckpt"
    with pytest.raises(MissingAssetError, match=r"https://github\.com/phizaz/diffae.*put it at") as error:
        locate("ffhq256-autoenc")
    assert str(place) in str(error.value)
    place.parent.mkdir()
    place.write_bytes(b"x")
    assert locate("ffhq256-autoenc") == place
    with pytest.raises(UnknownNameError, match="did you mean 'ffhq128-autoenc'"):
        locate("ffhq128-autoencoder")


def test_folders_here_do_not_stand_in_for_known_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMORPH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("emorph-base", "deca", "ICT-FaceKit"):
        Path(name).mkdir()
    assert locate("emorph-base") == BUNDLED / "emorph-base"
    with pytest.raises(MissingAssetError, match=r"available only from its authors.* write \./deca$"):
        locate("deca")
    (tmp_path / "home" / "deca").mkdir(parents=True)
    (tmp_path / "home" / "deca" / "deca_model.tar").write_bytes(b"x")
    assert locate("deca") == tmp_path / "home" / "deca" / "deca_model.tar"
    for path in ("./emorph-base", "./deca", "ICT-FaceKit", Path("emorph-base"), Path("deca"), tmp_path / "deca"):
        assert locate(path) == Path(path)


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> str:
        raise OSError("Network is unreachable\nand a long trace")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(CheckpointError, match=r"someone/model: .*Network is unreachable.*pass its folder") as error:
        locate("someone/model")
    assert "\n" not in str(error.value)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bool]]]:
    """A hub that has everything while it may be asked. Gives what was asked, and whether it was only for copies."""
    asked: list[tuple[str, bool]] = []

    def snapshot(hub_id: str, *, local_files_only: bool, **kwargs: object) -> str:
        asked.append((hub_id, local_files_only))
        if local_files_only:
            raise LocalEntryNotFoundError("Cannot find an appropriate cached snapshot folder")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    monkeypatch.delenv("EMORPH_OFFLINE", raising=False)
    pretrained._download.cache_clear()
    yield asked
    pretrained._download.cache_clear()


def test_names_with_dots_are_no_files(hub: list[tuple[str, bool]], tmp_path: Path) -> None:
    assert locate("someone/emorph-1.5") == tmp_path
    assert locate("someone/emorph-1.5") == tmp_path
    assert hub == [("someone/emorph-1.5", False)]
    for name in ("someone/last.ckpt", "someone/MODEL.PT", "model.safetensors"):
        with pytest.raises(CheckpointError, match="no such file or folder"):
            locate(name)
    with pytest.raises(UnknownNameError, match=r"'emorph-1\.5' is not known"):
        locate("emorph-1.5")


def test_the_hub_is_not_asked_while_offline(hub: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    for value, is_offline in (("1", True), ("yes", True), ("0", False), ("", False)):
        monkeypatch.setenv("EMORPH_OFFLINE", value)
        hub.clear()
        if is_offline:
            with pytest.raises(CheckpointError, match=f"someone/m{value}: .* nothing is downloaded while offline"):
                locate(f"someone/m{value}")
        else:
            locate(f"someone/m{value}")
        assert hub == [(f"someone/m{value}", is_offline)]


def test_records_append_and_merge_by_id(tmp_path: Path) -> None:
    path = tmp_path / "edits.jsonl"
    first = EditRecord("a.png", "a.jpg", "a.png", "happy", 1.0, "emorph", "m", "dpm", 15, 0.5)
    again = EditRecord("a.png", "a.jpg", "a.png", "happy", 0.5, "emorph", "m", "dpm", 15, 0.5)
    other = EditRecord("b.png", "顔.jpg", "b.png", "sad", 1.0, "emorph", "m", "dpm", 15, 0.5)
    records.append(path, [first, other])
    records.append(path, [again])
    assert records.read(path) == [again, other]
    with path.open("a") as file:
        file.write('{"id": "c"}\n')
    with pytest.raises(DataError, match="line 4 is not an edit record"):
        records.read(path)
