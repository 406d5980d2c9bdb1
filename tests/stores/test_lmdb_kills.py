"""Whatever process is killed, and whenever: nothing is damaged, nobody is blocked, nothing comes twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.stores.killing import BATCH
from tests.stores.lmdb_stores import ROOT


def killing(base, what, kills):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.stores.killing", str(base), what, str(kills)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


each_number_of_kills = pytest.mark.parametrize(
    "kills", [50, pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)


@each_number_of_kills
def test_under_load(base, kills):
    """
    Of what a killed receiver had taken, only what it had not written down is lost; of a killed sender's messages
    at most the last was sent without its knowing.
    """
    seen = killing(base, "load", kills)
    assert sum(seen["killed"].values()) == kills
    assert seen["acknowledged"] > kills
    assert seen["twice"] == 0
    assert seen["disorder"] == 0
    assert seen["lost"] <= BATCH * seen["killed"].get("receiver", 0)
    assert seen["received_unacknowledged"] <= seen["killed"].get("sender", 0)
    assert seen["known"] <= seen["sent"] <= seen["known"] + seen["killed"].get("sender", 0)
    assert seen["pending"] == 0
    assert seen["slow"] == []


@each_number_of_kills
def test_nobody_sleeps_while_a_message_waits(base, kills):
    """One message goes around among processes that wait for it; one after the other is killed."""
    seen = killing(base, "token", kills)
    assert seen["killed"] == {"token_holder": kills}
    assert seen["asleep"] == 0
    assert seen["passed"] > kills
    assert seen["injected"] < kills / 2  # the others were passed on by those who stayed
