"""`tfdfd features`: features of the faces and the sound of a store's clips, kept on disk and as parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfdfd.clip import FAILED, TfdfdError
from tfdfd.commands.console import import_tensorflow, make_console, print_table
from tfdfd.commands.feature_caches import FeatureConfig, feature_network, keep_features
from tfdfd.commands.flags import CommandParser, add_config_flags, add_cpu_flag, config_from_flags, obey_cpu_flag
from tfdfd.data.atomic import TEMPORARY, explain_write_errors
from tfdfd.data.store import FaceStore
from tfdfd.data.tables import records, some
from tfdfd.phrases import counted

FEATURES_FILE = "features.parquet"
"""In the folder of the features."""
_ROWS_AT_ONCE = 512


class FeatureTable:
    """Writes the published table row by row, so that it never lies in memory whole; it appears when it is complete.

    Args:
        path: the parquet file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self._path, self._temporary = path, path.with_name(path.name + TEMPORARY)
        vector = pa.list_(pa.float32())
        self._schema = pa.schema(
            [
                ("clip_id", pa.string()),
                ("video_embedding", vector),
                ("audio_embedding", vector),
                ("label", pa.int64()),
                ("num_faces", pa.int64()),
                ("sound_status", pa.string()),
                ("sound_reason", pa.string()),
            ]
        )
        self._pa = pa
        self._writer = pyarrow.parquet.ParquetWriter(self._temporary, self._schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], seen: dict[str, np.ndarray], sound: dict[str, np.ndarray]) -> None:
        """Take a clip: its row of the manifest, its faces and its sound."""
        from tfdfd.data.clip_features import audio_embedding, video_embedding

        self._rows.append(
            {
                "clip_id": row["clip_id"],
                "video_embedding": video_embedding(seen),
                "audio_embedding": audio_embedding(sound),
                "label": int(row["label"]),
                "num_faces": int(seen["is_face"].sum()),
                "sound_status": str(sound["status"]),
                "sound_reason": str(sound["reason"]),
            }
        )
        if len(self._rows) == _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(self._pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """End the file and give it its name."""
        self._flush()
        self._writer.close()
        self._temporary.replace(self._path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tfdfd features`."""
    parser = CommandParser(prog="tfdfd features", description=__doc__)
    parser.add_argument("--store", metavar="DIR", required=True, help="face store, as `tfdfd prepare` makes it")
    parser.add_argument(
        "--features", metavar="DIR", help="where they are kept (default: features/<backbone> in the store)"
    )
    parser.add_argument("--sounds", metavar="DIR", help="where spectrograms are kept (default: sounds in the store)")
    add_cpu_flag(parser)
    add_config_flags(parser, FeatureConfig, title="network")
    arguments = parser.parse_args(argv)
    obey_cpu_flag(arguments)
    console = make_console()
    config = config_from_flags(FeatureConfig, arguments)
    store = FaceStore.open(Path(arguments.store))
    clips = store.manifest()
    import_tensorflow()
    network, about = feature_network(config, store.crop_size)
    folder = Path(arguments.features) if arguments.features else store.folder / "features" / config.face_backbone
    table: list[FeatureTable] = []

    def on_clip(row: dict[str, Any], seen: dict[str, np.ndarray], sound: dict[str, np.ndarray]) -> None:
        if not table:  # only now is the folder known to be ours
            table.append(FeatureTable(folder / FEATURES_FILE))
        table[0].add(row, seen, sound)

    with explain_write_errors(folder):
        kept = keep_features(
            store,
            clips,
            console,
            network=network,
            about=about,
            folder=folder,
            sound_folder=Path(arguments.sounds) if arguments.sounds else None,
            on_clip=on_clip,
        )
    if not table:
        raise TfdfdError(f"no clip of {store.folder} has a face: there are no features")
    table[0].close()
    statuses = Counter(FAILED if row["clip_id"] in kept.failed else row["status"] for row in records(store.clips()))
    rows = [[status, count] for status, count in statuses.most_common()]
    print_table(console, "Clips of the store; those that are ok or partial have features", ["status", "clips"], rows)
    if kept.failed:
        console.print(
            f"{counted(len(kept.failed), 'clip has', 'clips have')} no features, the reasons stand above: "
            f"{some(kept.failed, limit=3)}. Where faces cannot be read, run `tfdfd prepare` again, then this command",
            style="yellow",
        )
    console.print(f"{folder / FEATURES_FILE}: clip_id, video_embedding, audio_embedding, label")
    return 0
