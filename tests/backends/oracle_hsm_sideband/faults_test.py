"""Whatever is wrong with the sideband database, HEAD answers what can be known."""

import logging

import pytest

from pacifica.archiveinterface.globals import LOG_NAME
from tests.backends.oracle_hsm_sideband.faults import FAULTS, Fault
from tests.backends.oracle_hsm_sideband.stand import standing
from tests.samqfs_emulator.host import HsmHost


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_head_answers_in_spite_of(fault: Fault, host: HsmHost, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOG_NAME)
    with standing(host, fault.below, **fault.options) as stand:
        try:
            fault.make(stand)
            assert stand.head() == fault.answer
        finally:
            if not host.server.pid:
                host.server.start()
    assert fault.log in caplog.text
