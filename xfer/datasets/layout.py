"""How prepared clips lie in their folder: names only.

index.parquet      one row for every frame: clip, person, split, shard, offset, length, landmarks,
                   crop, quality, and the world's factors where they are known
manifest.jsonl     one line for every input, good or bad, with the reason
shards/000000.tar  the aligned frames, as JPEG or PNG
prepare.json       what was prepared and how
"""

INDEX, MANIFEST, SETTINGS = "index.parquet", "manifest.jsonl", "prepare.json"


def shard_name(number: int) -> str:
    """Path of a shard inside its folder."""
    return f"shards/{number:06d}.tar"
