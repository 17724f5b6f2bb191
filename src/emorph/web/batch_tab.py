"""The tab that edits many photos at once."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emorph.core.expressions import Emotion
from emorph.edit.paths import output_names
from emorph.web.edit_tab import Controls, usual
from emorph.web.live import kept_name
from emorph.web.saying import NotChosen, saying
from emorph.web.sessions import Refused, Sessions, checked_size
from emorph.web.shown import preview_image
from emorph.web.wish import MOST_STRENGTH
from emorph.web.words import sentence

if TYPE_CHECKING:
    from emorph.edit.batch import FileReport
    from emorph.study.texts import Words

MOST_PHOTOS = 200
MOST_UNPACKED_BYTES = 500 * 2**20
MOST_SHOWN = 24  # of the results, on the page
_CHUNK_BYTES = 2**20


class Unfit(Exception):  # noqa: N818 - it is no fault of ours, and the page says so kindly
    """What was given cannot be taken. key: the text that says why; filled: what is filled in there."""

    def __init__(self, key: str, **filled: object) -> None:
        super().__init__(key)
        self.key, self.filled = key, filled


def add_batch_tab(words: Words, controls: Controls, sessions: Sessions, key: Any) -> None:
    """Draw the tab's content; within ``gradio.Blocks``. key: the component that holds the page's key."""
    import gradio as gr

    @saying(words)
    def edit(
        key: str, files: list[str] | None, word: str, strength: float, face: str, progress: gr.Progress = gr.Progress()
    ) -> tuple[str | None, list[Any], str]:
        from emorph.edit.files import edit_files

        session = sessions.of(key)
        if not files:
            raise NotChosen("batch.none")
        emotion = Emotion.parse(word)
        strength = min(max(float(strength), -MOST_STRENGTH), MOST_STRENGTH)
        folder = Path(tempfile.mkdtemp(dir=session.folder))
        try:
            photos = gathered(map(Path, files), folder / "photos")
        except Unfit as unfit:
            shutil.rmtree(folder, ignore_errors=True)
            raise gr.Error(words.say(unfit.key, **unfit.filled), print_exception=False) from None
        out, said = folder / "edited", []
        n_done = 0
        for i, photo in enumerate(photos):
            progress((i, len(photos)), desc=photo.name, unit=words.say("batch.unit"))
            sessions.of(key)  # a page that was closed gets no more

            def one(photo: Path = photo) -> FileReport:
                checked_size(photo)
                return edit_files(
                    sessions.editors.own, [photo], out, emotion, [strength],
                    face="all" if face == "all" else "largest", frame=1,
                )  # fmt: skip

            try:
                report = sessions.submit(one).result()
            except Exception as error:
                said.append(_failed(words, photo, error))
                continue
            n_done += len(report.edits)
            said += [_failed(words, photo, failure.error) for failure in report.failures]
        head = words.say("batch.done", done=n_done, total=len(photos))
        shown = [preview_image(path) for path in sorted(out.glob("*.png"))[:MOST_SHOWN]] if n_done else []
        archive = shutil.make_archive(str(session.folder / "edited"), "zip", out) if n_done else None
        shutil.rmtree(folder, ignore_errors=True)
        return archive, shown, "\n\n".join([head, *said])

    say = words.say
    gr.Markdown(say("batch.intro"))
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            files = gr.File(label=say("batch.files"), file_count="multiple", file_types=["image", ".zip"])
            choices = [(say(f"emotion.{word}"), word) for word in controls.emotions]
            emotion = gr.Dropdown(choices, value=usual(controls), label=say("batch.emotion"))
            strength = gr.Slider(0, MOST_STRENGTH, 1.0, step=0.05, label=say("batch.strength"), buttons=[])
            faces = [(say("batch.largest"), "largest"), (say("batch.all"), "all")]
            face = gr.Radio(faces, value="largest", label=say("batch.face"))
            start = gr.Button(say("batch.start"), variant="primary")
            gr.Markdown(say("edit.responsible"), elem_classes="em-note")
        with gr.Column(scale=2, min_width=280):
            told = gr.Markdown()
            archive = gr.File(label=say("batch.file"), interactive=False, height=90, elem_classes="em-made")
            gallery = gr.Gallery(
                label=say("batch.result"), interactive=False, columns=3, object_fit="contain",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
    start.click(
        edit, [key, files, emotion, strength, face], [archive, gallery, told], api_visibility="private",
        concurrency_limit=2,
    )  # fmt: skip


def gathered(files: Iterable[Path], folder: Path) -> list[Path]:
    """Photos and what is in zip files, as files in a folder, each with a name of its own. Raises Unfit."""
    folder.mkdir(parents=True)
    found: list[Path] = []
    left = MOST_UNPACKED_BYTES
    for path in files:
        if path.suffix.lower() != ".zip":
            found.append(Path(shutil.copyfile(path, _free(folder, path.name))))
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.is_dir() or Path(member.filename).name.startswith("."):
                        continue
                    if len(found) >= MOST_PHOTOS:
                        raise Unfit("batch.too_many", n=len(archive.infolist()), most=MOST_PHOTOS)
                    found.append(_free(folder, member.filename))
                    left -= _unpack(archive, member, found[-1], left)
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, ValueError):
            raise Unfit("batch.zip", name=path.name) from None
    if not found:
        raise Unfit("batch.none")
    if len(found) > MOST_PHOTOS:
        raise Unfit("batch.too_many", n=len(found), most=MOST_PHOTOS)
    return found


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, most: int) -> int:
    """Write one file of an archive, whatever size it states; the bytes written. Raises Unfit for more than ``most``."""
    n_bytes = 0
    with archive.open(member) as source, path.open("xb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            n_bytes += len(chunk)
            if n_bytes > most:
                raise Unfit("batch.too_large", most=MOST_UNPACKED_BYTES // 2**20)
            file.write(chunk)
    return n_bytes


def _free(folder: Path, name: str) -> Path:
    """A path in the folder that is not taken, whatever folders a name leads through."""
    name = kept_name(name)
    taken = list(folder.iterdir())
    stem = output_names([*taken, Path(name)])[-1]
    return folder / f"{stem}{Path(name).suffix}"


def _failed(words: Words, photo: Path, error: Exception) -> str:
    """Why a photo was not edited. Raises the error itself if it is a fault of ours."""
    from emorph.core.errors import EmorphError

    if not isinstance(error, EmorphError | Refused):
        raise error
    return words.say("batch.failed", name=photo.name, reason=sentence(error, words))
