"""What we export is read by the programs that it is for, unmodified, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from environments import environment, interpreter
from made_dataset import write_dataset

from microservo.datasets import export

pytestmark = pytest.mark.integration

SUPPORT = Path(__file__).parents[1] / "support"
TIMEOUT_S = 300
NAB_CHECKOUT = "MICROSERVO_TEST_NAB"
"""Names a checkout of numenta/NAB, which is no package."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(folder)
    return folder


def exported(made: Path, name: str, folder: Path) -> Path:
    export(made, format_name=name, out_dir=folder, progress=lambda *_: None)
    return folder


def answer_of(python: Path | str, program: str, *arguments: str, **environ: str) -> Any:
    asked = subprocess.run(
        [str(python), str(SUPPORT / program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env={**os.environ, **environ},
    )
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def rcaeval() -> Path:
    """RCAEval loads its methods on some versions of Python only, and needs few packages for BARO."""
    return environment(
        "RCAEval==1.8.1",
        ["--no-deps", "RCAEval==1.8.1"],
        ["numpy", "pandas", "scikit-learn", "requests", "tqdm"],
        python=interpreter("3.12", "3.10"),
    )


@pytest.mark.parametrize("method", ["baro", "mmbaro"])
def test_baro_of_rcaeval_ranks_the_service_whose_processor_burnt_first(
    method: str, made: Path, rcaeval: Path, tmp_path: Path
) -> None:
    cases = exported(made, "rcaeval", tmp_path / "RE2-OB")
    ranks = answer_of(rcaeval, "foreign_rcaeval.py", str(cases / "cart-service-2_cpu" / "1"), method)
    assert ranks[0] == "cart-service-2_cpu"
    assert len(ranks) > 1


def test_tsb_ad_scores_our_series_as_it_does_its_own(made: Path, tmp_path: Path) -> None:
    python = environment(
        "TSB-AD==1.5", ["--no-deps", "TSB-AD==1.5"], ["numpy>=2", "scikit-learn", "tqdm", "pandas"]
    )
    folder = exported(made, "tsb-ad-m", tmp_path / "Datasets")
    for path in sorted((folder / "TSB-AD-M").iterdir()):
        found = answer_of(python, "foreign_tsb_ad.py", str(path))
        assert found["rows"] == len(path.read_text("utf-8").splitlines()) - 1, "no row is dropped"
        assert found["columns"] == 5
        assert found["train_anomalies"] == 0
        assert found["perfect"]["AUC-PR"] == pytest.approx(1)
        assert found["perfect"]["VUS-PR"] > 0.9 > found["worst"]["VUS-PR"]


def test_the_platform_of_rcabench_finds_our_datapacks_valid_and_reads_their_truth(
    made: Path, tmp_path: Path
) -> None:
    # It imports yaml without asking for it.
    python = environment("rcabench-platform==0.4.46", ["rcabench-platform[sdk]==0.4.46", "pyyaml"])
    folder = exported(made, "rcabench", tmp_path / "datapacks")
    packs = sorted(path for path in folder.iterdir() if path.is_dir())
    assert len(packs) == 2
    found = [answer_of(python, "foreign_rcabench.py", str(pack)) for pack in packs]
    assert found == [
        {"is_valid": True, "services": ["cart-service-2"]},
        {"is_valid": True, "services": ["carts-db"]},
    ]


def test_nabs_own_corpus_and_scorer_take_our_series(made: Path, tmp_path: Path) -> None:
    checkout = os.environ.get(NAB_CHECKOUT)
    if not checkout:
        pytest.skip(f"NAB is no package; {NAB_CHECKOUT} names a checkout of numenta/NAB")
    corpus = exported(made, "nab", tmp_path / "nab")
    # It writes into arrays that pandas 3 shows read-only.
    python = environment("NAB", ["pandas<3", "numpy"])
    found = answer_of(python, "foreign_nab.py", str(corpus), PYTHONPATH=checkout)
    assert len(found) > 10
    for name, scores in found.items():
        if scores["windows"]:
            assert scores["perfect"] == pytest.approx(scores["windows"]), name
        assert scores["silent"] == -scores["windows"], name
