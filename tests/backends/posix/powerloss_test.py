"""Power loss: what was acknowledged is there afterwards, what was not is there whole or not at all."""

import os
from pathlib import Path

import pytest

from tests.backends.posix.powerloss import Verdict, cut_again_and_again
from tests.support.mounts import require_mounts
from tests.support.needs import refuse_or_skip

# Of each file system; make test-powerloss makes many more.
CUTS = int(os.getenv("POWERLOSS_CUTS", "5"))
CUTS_OF_ONE_DISK = 20


@pytest.fixture
def _mountable() -> None:
    require_mounts()


@pytest.mark.usefixtures("_mountable")
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, kind: str) -> None:
    verdicts = []
    for start in range(0, CUTS, CUTS_OF_ONE_DISK):
        place = tmp_path / str(start)
        place.mkdir()
        verdicts.append(cut_again_and_again(place, kind, min(CUTS_OF_ONE_DISK, CUTS - start), "", seed=start))
    report(kind, verdicts)
    assert all(verdict.acknowledged > verdict.cuts for verdict in verdicts)
    losses = [loss for verdict in verdicts for loss in verdict.losses]
    assert not losses, "\n".join(losses)


def report(kind: str, verdicts: list[Verdict]) -> None:
    """Say on standard output what was tried; pytest -s shows it."""
    cuts = sum(verdict.cuts for verdict in verdicts)
    acknowledged = sum(verdict.acknowledged for verdict in verdicts)
    in_flight = sum(verdict.in_flight for verdict in verdicts)
    losses = sum(len(verdict.losses) for verdict in verdicts)
    print(f"\n{kind}: {cuts} cuts, {acknowledged} acknowledged, {in_flight} in flight, {losses} lost")


@pytest.mark.usefixtures("_mountable")
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_power_cut_loses_much_when_nothing_is_synced(tmp_path: Path, kind: str) -> None:
    verdict = cut_again_and_again(
        tmp_path, kind, 10, "durability = none\n", seed=0, enough=lambda verdict: verdict.losses != []
    )
    assert verdict.losses != []


def test_a_proof_that_cannot_be_made_is_skipped_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no root"):
        refuse_or_skip("no root")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no root"):
        refuse_or_skip("no root")
