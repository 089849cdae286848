"""`xfer prepare`: videos and pictures of one's own."""

from tyro.conf import Positional

from xfer.cli.groups import app


@app.command(name="prepare")
def prepare(
    sources: Positional[tuple[str, ...]],
    out: str | None = None,
    size: int = 256,
    fps: float = 25.0,
    landmarks: str = "auto",
    picture_format: str = "jpg",
    people: str = "auto",
    images: str = "auto",
    most_frames: int | None = None,
    clips_per_shard: int = 32,
    workers: int | None = None,
    shard: str = "0/1",
) -> None:
    """Make aligned clips of videos and pictures; run again, it goes on where it stopped.

    `xfer prepare merge DIR` joins the shares of a job array, `xfer prepare merge DIR1 DIR2 --out
    NEW` joins several preparations.

    Args:
        sources: Videos, pictures, and folders of them; or `merge` and folders.
        out: Folder of the clips.
        size: Edge of the aligned pictures in pixels.
        fps: Frames a second at most.
        landmarks: auto, truth (face-world clips only), face-alignment or dlib.
        picture_format: jpg or png.
        people: auto (folders like id00012 are people), folder (each folder in a source is one, and
            a source for the clips that lie in it directly), or clip (each clip is its own person).
        images: auto (numbered pictures are the frames of a clip, unless they differ like
            portraits), frames or portraits.
        most_frames: Frames of a video to read at most.
        clips_per_shard: Clips in one shard.
        workers: Processes at a time; by default one for each core.
        shard: i/n, this machine's share of a job array.
    """
    from xfer.prepare import command

    if sources[:1] == ("merge",):
        print(command.merge(sources[1:], out))
    else:
        settings = command.Settings(
            size, fps, landmarks, picture_format=picture_format, most_frames=most_frames
        )
        print(
            command.prepare(
                sources, out, settings, shard, people=people, images=images, workers=workers,
                clips_per_shard=clips_per_shard,
            )
        )  # fmt: skip
