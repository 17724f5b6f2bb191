"""Making a study: equal sets, pictures that tell nothing, words in every language, and a sentence for each mistake."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from emorph.core.errors import ConfigError, DataError, EmorphError
from emorph.core.images import read_photo, write_image
from emorph.study.design import Wishes, new_study
from emorph.study.opening import check_study
from emorph.study.origins import read_origins
from emorph.study.records import ORIGINAL, read_design, read_trials
from emorph.study.texts import BUNDLED, parse_consent, read_words
from emorph.study.trials import DRAWN, read_pictures

PAGES = Path(__file__).parents[1] / "src" / "emorph" / "study"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """Four photos and two methods' edits of them to happy and sad."""
    rng = np.random.default_rng(0)
    for number in range(4):
        for name in ("photos/p{}.png", *(f"{m}/p{{}}_{t}.png" for m in "AB" for t in ("happy", "sad"))):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            write_image(tmp_path / name.format(number), pixels, metadata={"Software": "method A"})
    return tmp_path


def make(sets: Path, *names: str, **wishes: object) -> Path:
    given = [f"{name}={sets / name}" for name in names or ("A", "B")]
    values = {"sources": sets / "photos", "size_px": 128, **wishes}
    new_study(sets / "study", given, Wishes(**values))  # type: ignore[arg-type]
    return sets / "study"


def test_a_study_is_made_on_the_command_line(sets: Path, emorph: Run) -> None:
    status, text, said = emorph(
        *("study", "new", sets / "study", "--edits", f"A={sets / 'A'}", f"B={sets / 'B'}"),
        *("--sources", sets / "photos", "--size", 128, "--title", "Faces of a lab", "--participants", 20),
    )
    assert status == 0, said
    assert "preference: 8 trials; each person sees up to 4, and 2 people together see each of them once" in text
    assert "20 people: each trial 10 times" in text
    design = read_design(sets / "study")
    assert (design.methods, design.targets, design.strengths) == (("A", "B"), ("happy", "sad"), (1.0,))
    assert (design.title, design.participants) == ("Faces of a lab", 20)
    assert Counter(trial.task for trial in read_trials(sets / "study") if trial.control != "attention") == {
        "preference": 8,
        "identification": 20,
    }
    kinds = Counter(picture.method for picture in read_pictures(sets / "study"))
    assert kinds == {"A": 8, "B": 8, ORIGINAL: 4, DRAWN: 2}


def test_pictures_are_alike_in_everything_but_their_pixels(sets: Path) -> None:
    study = make(sets)
    files = list((study / "pictures").iterdir())
    assert len({path.stat().st_size for path in files}) == 1
    for path in files:
        assert re.fullmatch(r"[0-9a-f]{16}\.jpg", path.name)
        assert b"method" not in path.read_bytes()
        with Image.open(path) as image:
            assert image.size == (128, 128)
            assert "exif" not in image.info
    first = {path.name for path in files}
    shutil.rmtree(study)
    again = {path.name for path in (make(sets) / "pictures").iterdir()}
    assert first & again == set(), "a name that follows from the seed would tell"


def test_a_picture_shows_what_its_edit_shows(sets: Path) -> None:
    """Fitted into the square, on gray where it is no square."""
    study = make(sets)
    origins = {(o.source, o.method, o.target): o.edited_file for o in read_origins(study)}
    picture = next(picture for picture in read_pictures(study) if picture.method == "B")
    shown = read_photo(study / "pictures" / picture.file).pixels.astype(float)
    edited = Image.fromarray(read_photo(origins[picture.source, "B", picture.target]).pixels)
    wanted = np.asarray(edited.resize((128, 107), Image.Resampling.LANCZOS), float)
    top = (128 - 107) // 2
    assert np.abs(shown[top : top + 107] - wanted).mean() < 6  # JPEG of noise
    assert np.abs(shown[: top - 8] - 128).max() < 8


def test_a_colour_profile_is_applied_and_taken_out(sets: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number in range(4):
        photo = sets / "photos" / f"p{number}.png"
        write_image(photo, read_photo(photo).pixels, icc=profile)
    study = make(sets)
    for path in (study / "pictures").iterdir():
        with Image.open(path) as image:
            assert "icc_profile" not in image.info


def test_the_face_is_cut_out_alike(example_photo: Path, tmp_path: Path) -> None:
    photo = read_photo(example_photo).pixels
    write_image(tmp_path / "photos" / "me.png", photo)
    for method, level in (("A", 1), ("B", 2)):
        write_image(tmp_path / method / "me_sad.png", np.clip(photo.astype(int) + level, 0, 255).astype(np.uint8))
    study = make(tmp_path, crop=True, same_source=True)
    by_method = {picture.method: study / "pictures" / picture.file for picture in read_pictures(study)}
    original, edit = (read_photo(by_method[m]).pixels.astype(float) for m in (ORIGINAL, "B"))
    assert np.abs(original - edit).mean() < 4
    whole = np.asarray(Image.fromarray(photo).resize((128, 128)), float)
    assert np.abs(original - whole).mean() > 20, "nothing was cut out"


def test_real_photos_come_with_their_labels(sets: Path) -> None:
    for name in ("anger/x.png", "y_fear.png", "unlabelled.png"):
        write_image(sets / "real" / name, np.zeros((40, 40, 3), np.uint8))
    study = make(sets, real=sets / "real")
    real = [trial for trial in read_trials(study) if trial.control == "real"]
    assert sorted(trial.target for trial in real) == ["anger", "fear"]
    assert all(trial.task == "identification" and trial.method == "" for trial in real)


def test_one_table_names_all_methods(sets: Path) -> None:
    with (sets / "edits.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["method", "source", "edited", "target", "strength"])
        for number in range(4):
            for method in "AB":
                table.writerow([method, f"photos/p{number}.png", f"{method}/p{number}_happy.png", "happy", 0.5])
    new_study(sets / "study", [str(sets / "edits.csv")], Wishes())
    design = read_design(sets / "study")
    assert (design.methods, design.targets, design.strengths) == (("A", "B"), ("happy",), (0.5,))


def test_where_edits_came_from_is_written_beside_the_study(sets: Path) -> None:
    study = make(sets)
    origins = read_origins(study)
    assert len(origins) == 16
    assert all(Path(origin.edited_file).is_file() and Path(origin.source_file).is_file() for origin in origins)
    assert {o.source for o in origins} == {"s001", "s002", "s003", "s004"}


def remove_one(sets: Path) -> None:
    (sets / "B" / "p2_sad.png").unlink()


def other_shape(sets: Path) -> None:
    write_image(sets / "B" / "p2_sad.png", np.zeros((40, 40, 3), np.uint8))


def no_picture(sets: Path) -> None:
    (sets / "B" / "p2_sad.png").write_bytes(b"no picture")


def no_source(sets: Path) -> None:
    (sets / "photos" / "p2.png").unlink()


def occupied(sets: Path) -> None:
    (sets / "study").mkdir()
    (sets / "study" / "thesis.txt").write_text("years of work", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "names", "sentence"),
    [
        (remove_one, (), r"B has no edit of p2\.png to sad, strength 1, which A has"),
        (other_shape, (), r"p2_sad\.png is 40x40, its photo p2\.png 48x40: not the same cut"),
        (no_picture, (), r"B/p2_sad\.png is not a picture"),
        (no_source, (), r"was made from p2\.\*, which is not in"),
        (occupied, (), r"study is there already"),
        (lambda sets: None, ("A",), r"one method only \(A\), and a preference needs two"),
        (lambda sets: None, ("A", "A"), r"two sets of edits have the same name"),
    ],
    ids=["unequal", "cut", "no picture", "no source", "occupied", "one method", "one name"],
)
def test_what_cannot_be_made_is_said_in_a_sentence(
    sets: Path, spoil: Callable[[Path], None], names: tuple[str, ...], sentence: str
) -> None:
    spoil(sets)
    before = sorted(sets.rglob("*"))
    with pytest.raises(EmorphError, match=sentence) as said:
        make(sets, *names)
    assert str(said.value).count("\n") == 0
    assert sorted(sets.rglob("*")) == before, "something was left behind"


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('methods = ["A", "B"]', 'methods = ["A"]', "a preference needs two methods"),
        ('methods = ["A", "B"]', 'methods = ["A", "A"]', "methods names one twice"),
        ('methods = ["A", "B"]', 'methods = ["A", "C"]', "C has no edit of s001 to happy"),
        ('methods = ["A", "B"]', 'methods = ["A", "original"]', "may not be called 'original'"),
        ('targets = ["happy", "sad"]', 'targets = ["joyful"]', "emotion 'joyful' is not known"),
        ('targets = ["happy", "sad"]', 'targets = ["smile"]', "write 'happy'"),
        ('targets = ["happy", "sad"]', 'targets = ["fear"]', "no picture has a target and strength"),
        ("strengths = [1.0]", "strengths = [2.0]", "no picture has a target and strength"),
        ('["realism", "emotion", "identity"]', "[]", "preference.questions is empty"),
        ('["realism", "emotion", "identity"]', '["beauty"]', "preference.questions.0"),
        ("show_original = true", "show_original = false", "asks who it still is, but show_original is false"),
        ("repeated = 2", "repeated = 40", "blocks.repeated is 40, but a block has 30 trials"),
        ("attention = 1", "attention = 0", "exclude.failed_checks counts checks, but blocks.attention is 0"),
        ('return_url = ""', 'return_url = "http://x.org"', "finish.return_url must start with https://"),
        ("same_source = false", "same_sauce = true", "did you mean 'same_source'?"),
        ('languages = ["en", "ja"]', 'languages = ["fr"]', "the language fr has no file"),
        ("trials = 30", "trials = 0", "blocks.trials"),
    ],
)
def test_a_design_that_contradicts_itself_is_refused(sets: Path, before: str, after: str, sentence: str) -> None:
    study = make(sets)
    path = study / "study.toml"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(EmorphError, match=re.escape(sentence)) as said:
        check_study(study)
    assert "\n" not in str(said.value)


def test_nothing_to_ask_is_refused(sets: Path) -> None:
    study = make(sets)
    path = study / "study.toml"
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"\[(preference|identification)\]\n(.+\n)+", "", text)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="nothing is asked"):
        check_study(study)


def test_a_missing_picture_is_found_before_anybody_comes(sets: Path) -> None:
    study = make(sets)
    next((study / "pictures").iterdir()).unlink()
    with pytest.raises(DataError, match=r"\.jpg is missing"):
        check_study(study)


def test_a_study_may_bring_a_language(sets: Path) -> None:
    study = make(sets)
    path = study / "study.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('["en", "ja"]', '["de", "en"]'), encoding="utf-8")
    (study / "languages").mkdir()
    english = (PAGES / "languages" / "en.toml").read_text(encoding="utf-8")
    own = study / "languages" / "de.toml"
    own.write_text(english.replace('happy = "Happy"', 'happy = "Fröhlich"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"consent\.de\.txt"):
        check_study(study)
    (study / "consent.de.txt").write_text("# Teilnahme\n\nIch mache mit.", encoding="utf-8")
    words = read_words(read_design(study), study)
    assert list(words) == ["de", "en"]
    assert words["de"].say("emotions.happy") == "Fröhlich"
    for spoiled, sentence in (
        (english.replace('left = "Left"\n', "", 1), "lacks answers.left"),
        (english.replace("{target}", "{goal}"), "questions.preference_emotion must have the places"),
        (english + '\n[more]\nx = "y"\n', "more.x, which no page uses"),
    ):
        own.write_text(spoiled, encoding="utf-8")
        with pytest.raises(ConfigError, match=re.escape(sentence)):
            check_study(study)


def test_the_bundled_languages_say_the_same_things() -> None:
    import tomllib

    def keys(code: str) -> dict[str, list[str]]:
        values = tomllib.loads((PAGES / "languages" / f"{code}.toml").read_text(encoding="utf-8"))
        flat = {
            f"{table}.{key}": text
            for table, inner in values.items()
            if isinstance(inner, dict)
            for key, text in inner.items()
        }
        return {key: sorted(re.findall(r"\{\w+\}", text)) for key, text in flat.items()}

    assert keys("ja") == keys("en")
    assert set(BUNDLED) == {path.stem for path in (PAGES / "languages").glob("*.toml")}


def test_every_text_is_used() -> None:
    import tomllib

    pages = "".join(path.read_text(encoding="utf-8") for path in [*PAGES.glob("*.py"), *PAGES.glob("page/*.html")])
    texts = tomllib.loads((PAGES / "languages" / "en.toml").read_text(encoding="utf-8"))
    composed = {"emotions", "questions", "scales", "answers", "messages"}  # their keys are put together
    unused = [
        f"{table}.{key}"
        for table, inner in texts.items()
        if isinstance(inner, dict) and table not in composed
        for key in inner
        if f"{table}.{key}" not in pages
    ]
    assert unused == []


def test_consent_texts_are_read_as_people_write_them() -> None:
    parts = parse_consent("# About\nWe ask\nthis.\n\n- one\n- two\n\n\nLast <b>words</b>.\n")
    assert [(part.kind, part.lines) for part in parts] == [
        ("heading", ("About",)),
        ("paragraph", ("We ask this.",)),
        ("list", ("one", "two")),
        ("paragraph", ("Last <b>words</b>.",)),
    ]


def test_a_broken_list_of_pictures_is_named(sets: Path) -> None:
    study = make(sets)
    path = study / "pictures.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:3], json.dumps({"file": 1}), *lines[3:]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"pictures\.jsonl, line 4 is not a picture"):
        read_trials(study)
