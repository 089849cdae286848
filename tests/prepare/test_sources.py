"""What is found below a source, in which order, and who is taken for whom."""

import os

import numpy as np
import pytest
from PIL import Image

from xfer.errors import BadValue, MissingFile
from xfer.media.kinds import kind_of
from xfer.prepare.sources import find_inputs


def tree(root, *names):
    """Files by name: pictures are real, videos only named so."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
        else:
            path.write_bytes(b"")
    return root


def found(*sources, **options):
    return [(item.kind, item.clip, item.person) for item in find_inputs(sources, **options)]


def test_in_flat_folders_every_video_is_its_own_person(tmp_path):
    root = tree(tmp_path / "mine", "b.mp4", "a.mov", "notes.txt", ".hidden.mp4", "sub/c.mkv")
    assert found(root) == [
        ("video", "mine/a", "mine/a"),
        ("video", "mine/b", "mine/b"),
        ("video", "mine/sub/c", "mine/sub/c"),
    ]


def test_voxceleb_folders_name_people(tmp_path):
    root = tree(
        tmp_path / "vox", "id00012/xyz/00001.mp4", "id00012/abc/00001.mp4", "id00345/q/1.mp4"
    )
    assert found(root) == [
        ("video", "vox/id00012/abc/00001", "id00012"),
        ("video", "vox/id00012/xyz/00001", "id00012"),
        ("video", "vox/id00345/q/1", "id00345"),
    ]


def test_voxceleb_folders_name_people_however_deep_the_sources_lie(tmp_path):
    root = tree(tmp_path / "vox", "id00012/a/1.mp4", "id00012/b/1.mp4", "id00345/q/1.mp4")
    for depth in ("id*", "*/*", "*/*/*.mp4"):
        sources = sorted(root.glob(depth))
        assert people_of(*sources) == ["id00012", "id00012", "id00345"]


def people_of(*sources, **options):
    return [person for _, _, person in found(*sources, **options)]


def test_folders_name_people_where_that_is_asked_for(tmp_path):
    root = tree(tmp_path / "family", "ann/1.mp4", "ann/deep/2.mp4", "bob/1.png", "c.mp4", "d.mp4")
    named = ["family/ann", "family/ann", "family/bob"]
    directly = [f"{tmp_path.name}/family"] * 2
    assert people_of(root, people="folder") == [*directly, *named]
    assert len(set(people_of(root, people="clip"))) == 5
    assert people_of(root / "ann/1.mp4", root / "bob", people="folder") == named[1:]


def test_a_source_that_holds_clips_is_itself_a_person(tmp_path):
    """As the shell gives `family/*`: the same people as in `family`."""
    root = tree(tmp_path / "family", "ann/1.mp4", "ann/2.mp4", "bob/1.mp4", "bob/2.mp4")
    film = tree(root, *(f"cid/{number:03d}.png" for number in range(6))) / "cid"
    apart = people_of(root / "ann", root / "bob", film, people="folder")
    assert apart == ["family/ann"] * 2 + ["family/bob"] * 2 + ["family/cid"]
    assert people_of(root, people="folder") == apart


def test_numbered_pictures_are_one_clip_and_others_are_portraits(tmp_path):
    frames = [f"film/frame_{number:03d}.png" for number in range(6)]
    root = tree(tmp_path / "x", *frames, "album/me.png", "album/you.png", "few/1.png", "few/2.png")
    kinds = [(kind, clip) for kind, clip, _ in found(root)]
    assert kinds == [
        ("picture", "x/album/me"),
        ("picture", "x/album/you"),
        ("picture", "x/few/1"),
        ("picture", "x/few/2"),
        ("frames", "x/film"),
    ]
    assert {kind for kind, *_ in found(root, images="portraits")} == {"picture"}
    assert [kind for kind, *_ in found(root, images="frames")] == ["frames"] * 3


def test_clips_that_would_share_a_name_get_different_ones(tmp_path):
    root = tree(tmp_path / "x", "a.mp4", "a.mov", "a.png")
    other = tree(tmp_path / "y/x", "a.mp4", "a.mov", "a.png")
    assert [clip for _, clip, _ in found(root, other)] == [
        "x/a", "x/a-2", "x/a-3", "x/a-4", "x/a-5", "x/a-6",
    ]  # fmt: skip


def test_what_several_sources_lead_to_is_found_once_and_that_is_told(tmp_path, capsys):
    names = "anna/1.mp4", "anna/2.mp4", "bob/1.mp4", *(f"film/{n}.png" for n in range(6))
    root = tree(tmp_path / "videos", *names)
    once = found(root)
    assert capsys.readouterr().err == ""
    assert found(root, root / "anna", root / "film/3.png", root / "bob/1.mp4") == once
    told = capsys.readouterr().err
    assert "4 left out, such as" in told and "videos/anna/1.mp4" in told
    assert told.count("\n") == 1


def test_links_are_followed_once_and_real_names_come_before_theirs(tmp_path):
    far = tree(tmp_path / "far", "1.mp4", "2.mp4")
    root = tree(tmp_path / "family", "zed/1.mp4")
    (root / "ann").symlink_to(far)
    (root / "best").mkdir()
    (root / "best/one.mp4").symlink_to(root / "zed/1.mp4")
    (root / "best/all").symlink_to(root)
    expected = [
        ("video", "family/zed/1", "family/zed"),
        ("video", "family/ann/1", "family/ann"),
        ("video", "family/ann/2", "family/ann"),
    ]
    assert found(root, people="folder") == expected
    assert len(found(root / "best", root / "zed", people="folder")) == 3


def test_folders_that_cannot_be_read_are_told(tmp_path, capsys, monkeypatch):
    root, list_folder = tree(tmp_path / "x", "a.mp4", "shut/b.mp4"), os.scandir

    def scandir(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [clip for _, clip, _ in found(root)] == ["x/a"]
    told = capsys.readouterr().err
    assert "1 folders cannot be read" in told and "shut (Permission denied)" in told


def album(folder, shapes, levels):
    """Numbered pictures of these shapes and brightnesses."""
    folder.mkdir(parents=True)
    for number, (shape, level) in enumerate(zip(shapes, levels, strict=True)):
        Image.fromarray(np.full((*shape, 3), level, np.uint8)).save(folder / f"{number:05d}.png")


def test_numbered_pictures_that_differ_like_portraits_are_portraits(tmp_path, capsys):
    alike, sizes = [(8, 8)] * 6, [(8, 8 + number) for number in range(6)]
    album(tmp_path / "x/faces", alike, [0, 200, 90, 250, 10, 120])
    album(tmp_path / "x/camera", sizes, [100] * 6)
    album(tmp_path / "x/film", alike, [0, 100, 104, 108, 112, 116])
    kinds = [(kind, clip.split("/")[1]) for kind, clip, _ in found(tmp_path / "x")]
    assert kinds == [("picture", "camera")] * 6 + [("picture", "faces")] * 6 + [("frames", "film")]
    told = capsys.readouterr().err
    assert "in 2 folders" in told and "--images frames" in told
    assert [kind for kind, *_ in found(tmp_path / "x", images="frames")] == ["frames"] * 3


def test_clips_of_the_face_world_are_known_by_their_table(tmp_path):
    root = tree(tmp_path / "world", "clip_00000.mp4", "clip_00001.mp4", "frames.parquet")
    assert [kind for kind, *_ in found(root)] == ["world", "world"]


def test_content_comes_before_the_name(tmp_path):
    root = tree(tmp_path, "a.png")
    (root / "a.png").rename(root / "a.mp4")
    (root / "b.jpg").write_bytes(b"\0\0\0\x20ftypisom")
    (root / "c.xyz").write_bytes(b"what is this")
    assert kind_of(root / "a.mp4") == "picture"
    assert kind_of(root / "b.jpg") == "video"
    assert kind_of(root / "c.xyz") is None
    assert found(root / "c.xyz") == [("video", "c", "c")]


def test_a_name_that_is_no_text_is_shown_with_marks(tmp_path):
    name = b"caf\xe9.mp4"
    try:
        (tmp_path / name.decode("utf-8", "surrogateescape")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes text only")
    (item,) = find_inputs([tmp_path])
    assert item.clip.endswith("caf\ufffd") and item.shown_path.endswith("caf\ufffd.mp4")


def test_nothing_to_prepare_is_said_at_once(tmp_path):
    with pytest.raises(MissingFile, match="there is no"):
        find_inputs([tmp_path / "none"])
    with pytest.raises(BadValue, match="nothing to prepare"):
        find_inputs([tmp_path])
    with pytest.raises(BadValue, match="auto, folder or clip"):
        find_inputs([tmp_path], people="x")
