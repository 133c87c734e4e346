"""`client.datasets`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from microservo.application.command import Context
from microservo.application.datasets import ExportDataset, HashDataset, RebuildDataset, VerifyDataset
from microservo.application.progress import CallbackProgress
from microservo.application.table import execute
from microservo.domain.datasets.formats import Exported
from microservo.domain.datasets.manifest import Manifest


class Datasets:
    """Rebuild, verify, hash and export datasets."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def rebuild(
        self,
        run_id: str,
        out_dir: str | Path,
        progress: Callable[[float, float], None] | None = None,
    ) -> Manifest:
        """Rebuilds the dataset of a run from the log.

        Args:
            run_id: one of `client.runs.list()`, or "latest".
            out_dir: folder to make; it must not hold anything.
            progress: called as (messages read, messages in all).

        Raises:
            InvalidInput: there is no such run, or the folder holds something.
            OffsetGap: the log no longer holds all of the run.
        """
        return execute(RebuildDataset(run_id=run_id, out_dir=Path(out_dir)), self._shown(progress))

    def verify(self, folder: str | Path, *, against_live: bool = False) -> tuple[str, ...]:
        """What is wrong with a dataset, a sentence each; empty if nothing is.

        Args:
            folder: the dataset.
            against_live: also compare with the windows that were written live.

        Raises:
            InvalidInput: the folder holds no dataset.
        """
        return execute(VerifyDataset(folder=Path(folder), against_live=against_live), self._context)

    def hash(self, folder: str | Path) -> str:
        """The content hash of a dataset, computed from its rows.

        Raises:
            InvalidInput: a table is missing or can't be read.
        """
        return execute(HashDataset(folder=Path(folder)), self._context)

    def export(
        self,
        folder: str | Path,
        format_name: str,
        out_dir: str | Path,
        progress: Callable[[float, float], None] | None = None,
    ) -> Exported:
        """Writes a dataset in a format of others; twice the same dataset gives twice the same bytes.

        Args:
            folder: the dataset.
            format_name: as `rcaeval`, `tsb-ad-m`, `nab`; `microservo dataset export --help` lists all.
            out_dir: folder to make; it must not hold anything. `loss.md` in it says what the format can't
                hold, `names.csv` which names it forbids and what is written for them.
            progress: called as (done, in all).

        Raises:
            InvalidInput: there is no such format, the folder holds no dataset or a damaged one, the format
                can't hold anything of it, or `out_dir` is taken.
            Unavailable: there is no room.
        """
        command = ExportDataset(folder=Path(folder), format_name=format_name, out_dir=Path(out_dir))
        return execute(command, self._shown(progress))

    def _shown(self, progress: Callable[[float, float], None] | None) -> Context:
        return self._context if progress is None else self._context.with_progress(CallbackProgress(progress))
