"""Films are read, changed where they should be, and written with their own times and sound."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from emorph.core.errors import ClipError, MissingAssetError

av = pytest.importorskip("av")

from emorph.core.images import read_photo, write_image  # noqa: E402
from emorph.video import clip as clip_module  # noqa: E402
from emorph.video.clip import Clip, is_film, read_clip  # noqa: E402
from emorph.video.encode import check_gif, check_holds, join, segment, stored  # noqa: E402
from emorph.video.frames import Frame, Part, _plane, previewed, read_frames, with_change  # noqa: E402
from made_clips import (  # noqa: E402
    RATE,
    ROOT,
    SIDE,
    astronaut,
    face_clip,
    frames_of,
    moving_face,
    packets_of,
    wall,
    write_clip,
)

UNEVEN = [0, 500, 1100, 1200, 3000, 3100, 3900, 5000]


def rewritten(clip: Clip, out: Path, every: int = 5) -> list[str]:
    """The film as it is, by way of segments. Returns remarks."""
    held = stored(clip, out.suffix)
    check_holds(clip, out.suffix)
    frames, paths = list(read_frames(clip, held.form)), []
    for start in range(0, len(frames), every):
        paths.append(out.parent / f"{start:04d}.nut")
        with segment(paths[-1], clip, held) as made:
            for frame in frames[start : start + every]:
                made.add(frame.picture)
    join(clip, paths, out, held, {"comment": "made"}, None)
    return list(held.remarks)


@pytest.mark.parametrize(
    ("source", "out", "codec", "sound", "n_sounds"),
    [
        ("a.mp4", "b.mp4", "libx264", "aac", 2),
        ("a.mov", "b.mov", "libx264", "aac", 1),
        ("a.mkv", "b.mkv", "libx264", "libopus", 1),
        ("a.webm", "b.webm", "libvpx-vp9", "libopus", 1),
        ("a.mp4", "b.mkv", "libx264", "aac", 0),
    ],
)
def test_times_and_sound_pass_through(
    tmp_path: Path, source: str, out: str, codec: str, sound: str, n_sounds: int
) -> None:
    """Uneven time stamps to the tick, sound to the bit, pictures to a few levels."""
    frames = [moving_face(i / RATE) for i in range(len(UNEVEN))]
    path = write_clip(
        tmp_path / source, frames, codec=codec, n_sounds=n_sounds, sound_codec=sound, ticks=UNEVEN,
        time_base=Fraction(1, 1000) if source.endswith(("mkv", "webm")) else Fraction(1, 12800),
    )  # fmt: skip
    rewritten(read_clip(path), tmp_path / out)
    times, pictures = frames_of(path)
    new_times, new_pictures = frames_of(tmp_path / out)
    assert [float(t) for t in new_times] == pytest.approx([float(t) for t in times], abs=5e-4 if out == "b.mkv" else 0)
    assert packets_of(tmp_path / out, "audio") == packets_of(path, "audio")
    assert len(packets_of(path, "audio")) == n_sounds
    for one, other in zip(pictures, new_pictures, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 3.0
    with av.open(str(tmp_path / out)) as made, av.open(str(path)) as own:
        assert made.duration == pytest.approx(
            own.duration, abs=2e6 / RATE
        )  # of uneven times, a file states about its end
        assert {"made"} <= set(made.metadata.values())


@pytest.mark.parametrize("name", ["b.mp4", "b.webm"])
def test_a_film_does_not_depend_on_what_lay_in_memory(tmp_path: Path, name: str) -> None:
    """Encoders that read what they did not write give other files now and then, and a run that goes on another film."""
    face_clip(tmp_path / "a.mp4")
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from pathlib import Path\n"
        "import test_video_files as t\n"
        "t.rewritten(t.read_clip(Path(sys.argv[1])), Path(sys.argv[2]))\n"
    )
    made = []
    for filled_with in ("0", "1"):  # glibc's: not at all, and with the byte 254
        out = tmp_path / filled_with / name
        out.parent.mkdir()
        command = [sys.executable, "-c", code, str(tmp_path / "a.mp4"), str(out)]
        environment = os.environ | {"MALLOC_PERTURB_": filled_with}
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        made.append(out.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_film_is_upright_and_stays_so(tmp_path: Path, degrees: int) -> None:
    """The flag turns what players show; the result shows the same without a flag."""
    upright = [moving_face(i / RATE)[:120] for i in range(4)]
    turned = [np.rot90(frame, -degrees // 90) for frame in upright]
    path = write_clip(tmp_path / "a.mp4", turned, rotation=degrees)
    clip = read_clip(path)
    assert (clip.rotation, clip.width, clip.height) == (degrees, SIDE, 120)
    rewritten(clip, tmp_path / "b.mp4")
    for frame, expected in zip(frames_of(tmp_path / "b.mp4")[1], upright, strict=True):
        assert np.abs(frame.astype(int) - expected).mean() < 6


def test_a_gif_stays_a_gif(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(moving_face(i / RATE)) for i in range(4)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[40, 80, 40, 120], loop=0)
    rewritten(read_clip(tmp_path / "a.gif"), tmp_path / "b.gif", every=2)
    times, own = frames_of(tmp_path / "a.gif")
    new_times, made = frames_of(tmp_path / "b.gif")
    assert new_times == times
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(own, made, strict=True)) < 8


def test_a_gif_that_would_be_huge_is_told_or_refused(tmp_path: Path) -> None:
    clip = read_clip(face_clip(tmp_path / "a.mp4", 3))
    assert stored(clip, ".gif").remarks == ()
    long = replace(clip, width=640, height=360, n_frames=1000)
    (said,) = stored(long, ".gif").remarks
    assert "takes about 92 MB" in said
    check_gif(long)
    assert stored(long, ".mp4").remarks == ()
    with pytest.raises(ClipError, match=r"would take about 9\.2 GB; name the result as \.mp4"):
        check_gif(replace(long, n_frames=0, duration_s=100_000.0, rate=Fraction(1)))


def test_depth_odd_sizes_and_what_is_lost_are_said(tmp_path: Path) -> None:
    deep = face_clip(tmp_path / "deep.mp4", 3, pix_fmt="yuv420p10le", curve=16)
    (said,) = rewritten(read_clip(deep), tmp_path / "deep_out.mp4")
    assert "10 bits a channel" in said
    assert "PQ" in said
    assert read_clip(tmp_path / "deep_out.mp4").bits == 10
    odd = write_clip(
        tmp_path / "odd.webm", [moving_face(0)[:101, :97]] * 3, codec="libvpx-vp9", time_base=Fraction(1, 1000)
    )
    (said,) = rewritten(read_clip(odd), tmp_path / "odd.mp4")
    assert "97x101" in said
    assert frames_of(tmp_path / "odd.mp4")[1][0].shape == (101, 97, 3)
    assert rewritten(read_clip(odd), tmp_path / "odd_out.webm") == []
    assert frames_of(tmp_path / "odd_out.webm")[1][0].shape == (101, 97, 3)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv444p", "bgr0"])
def test_a_change_touches_its_own_pixels_alone(pix_fmt: str) -> None:
    frame = av.VideoFrame.from_ndarray(astronaut(), format="rgb24").reformat(format=pix_fmt)
    before = frame.to_ndarray(format="rgb24")
    after = before.copy()
    after[40:60, 30:70] = 255 - after[40:60, 30:70]
    assert with_change(frame, before, before) is frame
    changed = with_change(frame, before, after)
    shown = changed.to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown[44:56, 34:66] - after[44:56, 34:66]).mean() < 12  # colour is stored for blocks
    for plane, own in zip(changed.planes, frame.planes, strict=True):
        new, old = (np.frombuffer(each, np.uint8).reshape(each.height, -1) for each in (plane, own))
        shown_bytes = plane.width * (4 if pix_fmt == "bgr0" else 1)
        new, old = new[:, :shown_bytes], old[:, :shown_bytes]
        scale = SIDE // plane.height
        assert (new[: 40 // scale] == old[: 40 // scale]).all()
        assert (new[60 // scale :] == old[60 // scale :]).all()
    assert (shown[:38] == before[:38]).all()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "bgr0"])
def test_a_part_of_a_frame_is_read_and_changed_like_the_whole(pix_fmt: str) -> None:
    whole = astronaut()[:, :-4]
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(whole), format="rgb24").reformat(format=pix_fmt)
    frame, size = Frame(0, 0, 0, picture), (picture.width, picture.height)
    for points in ([[50, 37], [111, 91]], [[-9, -9], [20, 500]], [[100, 90], [900, 900]], [[900, 900], [901, 901]]):
        part = Part.around(np.array(points, np.float64), size)
        rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
        before = frame.pixels(part)
        np.testing.assert_array_equal(before, frame.pixels()[rows, columns])
        after = before.copy()
        after[8:-8, 8:-8] ^= 255  # crops lie well within the parts that are read around them
        edited = frame.pixels()
        edited[rows, columns] = after
        by_part, by_whole = with_change(picture, before, after, part), with_change(picture, frame.pixels(), edited)
        for i in range(len(picture.planes)):
            np.testing.assert_array_equal(_plane(by_part, i), _plane(by_whole, i))


def test_colours_do_not_drift(tmp_path: Path) -> None:
    """RGB and back gives the frame's own values, for either range and matrix."""
    clip = read_clip(face_clip(tmp_path / "a.mp4", 2))
    frame = next(read_frames(clip, stored(clip, ".mp4").form))
    pixels = frame.pixels()
    other = pixels.copy()
    other ^= 1  # every pixel is changed, by a level
    changed = with_change(frame.picture, pixels, other)
    new, own = (_plane(each, 0).astype(int) for each in (changed, frame.picture))
    assert new.shape == (SIDE, SIDE)
    assert np.abs(new - own).mean() < 1.5


def test_a_preview_is_short_and_small(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "a.mp4", [wall(i / RATE, 480) for i in range(80)]))
    form = previewed(stored(clip, ".mp4").form)
    frames = list(read_frames(clip, form))
    assert (form.width, form.height, len(frames)) == (360, 360, 75)
    assert frames[0].pixels().shape == (360, 360, 3)


def _broken(folder: Path) -> dict[str, Path]:
    whole = face_clip(folder / "whole.mp4", 10)
    fast = folder / "fast.mkv"
    face_clip(fast, 60)
    made = {name: folder / f"{name}.mp4" for name in ("empty", "picture", "sound", "one", "small", "cut", "noise")}
    made["empty"].write_bytes(b"")
    write_image(folder / "picture.jpg", astronaut())
    made["picture"].write_bytes((folder / "picture.jpg").read_bytes())
    with av.open(str(made["sound"]), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    face_clip(made["one"], 1)
    write_clip(
        made["small"].with_suffix(".mkv"),
        [np.zeros((1, 1, 3), np.uint8)] * 3,
        codec="ffv1",
        pix_fmt="bgr0",
        time_base=Fraction(1, 1000),
    )
    made["small"] = made["small"].with_suffix(".mkv")
    data = whole.read_bytes()
    made["cut"].write_bytes(data[: len(data) // 2])
    made["cut_stream"] = folder / "cut_stream.mkv"
    made["cut_stream"].write_bytes(fast.read_bytes()[: fast.stat().st_size * 3 // 4])
    made["noise"].write_bytes(np.random.default_rng(0).bytes(4000))
    large = folder / "large.mkv"
    write_clip(large, [wall(0, 300)] * 2, codec="ffv1", pix_fmt="bgr0", time_base=Fraction(1, 1000))
    made["huge"] = folder / "huge.mkv"  # PixelWidth and PixelHeight of Matroska (RFC 9559, 5.1.4.1.28)
    sizes = large.read_bytes().replace(b"\xb0\x82\x01\x2c", b"\xb0\x82\xff\xfe")
    made["huge"].write_bytes(sizes.replace(b"\xba\x82\x01\x2c", b"\xba\x82\xff\xfe"))
    made["missing"] = folder / "nowhere.mp4"
    made["text"] = folder / "text.mp4"
    made["text"].write_text("#EXTM3U\nfile:///etc/passwd\n")
    return made


SAID = {
    "empty": "0 bytes",
    "picture": "is a picture, not a film",
    "sound": "no pictures, only audio",
    "one": "a single frame",
    "small": "1x1 px",
    "cut": "cannot be read as a film",
    "cut_stream": "is cut off|cannot be read as a film",
    "noise": "no film that emorph reads",
    "huge": "states no size that its frames can have",
    "missing": "there is no file",
    "text": "no film that emorph reads",
}


def test_broken_films_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """Cut, empty, of another kind, without pictures, with absurd sizes, a single frame, a single pixel."""

    def read_all(path: Path) -> None:
        clip = read_clip(path)
        list(read_frames(clip, stored(clip, ".mp4").form))

    broken = _broken(tmp_path)
    for name, path in broken.items():
        with pytest.raises(ClipError, match=SAID[name]) as raised:
            read_all(path)
        assert "\n" not in str(raised.value)
    assert all(is_film(broken[name]) for name in ("cut", "noise", "text", "empty"))
    assert not is_film(broken["picture"])


@pytest.mark.parametrize("n_hidden", [3, 20])
def test_trimmed_films_are_whole(tmp_path: Path, n_hidden: int) -> None:
    """An edit list hides the first frames, which the file still holds and counts (ISO/IEC 14496-12, 8.6.6)."""
    path = face_clip(tmp_path / "a.mp4", 40)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    duration_ms, start = struct.unpack(">Ii", data[at : at + 8])
    trimmed = duration_ms - round(1000 * n_hidden / RATE), start + round(12800 * n_hidden / RATE)
    data[at : at + 8] = struct.pack(">Ii", *trimmed)
    path.write_bytes(data)
    clip = read_clip(path)
    assert clip.n_frames == 40
    assert len(list(read_frames(clip, stored(clip, ".mp4").form))) == 40 - n_hidden


@pytest.mark.skipif(not hasattr(av.stream.Stream, "index_entries"), reason="PyAV does not tell the list of packets")
def test_cut_films_whose_index_comes_first_are_refused_before_any_work(tmp_path: Path) -> None:
    """All packets are listed, the last ones are missing: FFmpeg reads such a film without a word."""
    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width = stream.height = 96
        for i in range(12):  # without sound, so that the last bytes are a frame's
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_face(i / RATE, 96), format="rgb24")))
        container.mux(stream.encode(None))
    data = (tmp_path / "a.mp4").read_bytes()
    read_clip(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(data[:-20])
    with pytest.raises(ClipError, match=r"a\.mp4 is cut off: 11 of the 12 frames"):
        read_clip(tmp_path / "a.mp4")


def test_frames_of_an_absurd_size_are_refused() -> None:
    with pytest.raises(ClipError, match=r"20000x20000 px; at most 35,389,440 px are read"):
        clip_module._check_size("a.mp4", 20_000, 20_000)


def test_sound_that_a_kind_does_not_hold_is_refused_before_any_work(tmp_path: Path) -> None:
    clip = read_clip(face_clip(tmp_path / "a.mp4", 3, n_sounds=1))
    with pytest.raises(ClipError, match=r"\.webm does not hold sound as aac"):
        check_holds(clip, ".webm")
    with pytest.raises(ClipError, match=r"use \.mp4"):
        check_holds(clip, ".avi")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_without_pyav_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = face_clip(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingAssetError, match=r"pip install .*\[video\]"):
        read_clip(path)
    assert clip_module.is_film(path)


def test_the_example_is_found_in_made_films(tmp_path: Path) -> None:
    from emorph.faces.detect import find_faces

    assert len(find_faces(read_photo(moving_face(0.4)))) == 1
    assert not find_faces(read_photo(wall(0.2)))
