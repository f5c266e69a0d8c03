"""What this machine uses is read where the system tells, and nothing is raised where it does not."""

from pathlib import Path

import psutil
import pytest

from estsim.fleet.usage import OwnProcess, descriptors_in_use, memory_available_bytes, ports_in_use

MIB = 1 << 20


def test_what_is_used_is_told() -> None:
    """Of this process some memory and descriptors, and of the machine some memory."""
    assert MIB < OwnProcess().rss_bytes() < memory_available_bytes() * 1000
    assert memory_available_bytes() > MIB
    assert descriptors_in_use() > 2


def test_a_container_without_proc_ends_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What else is known of memory is returned, and 0 for what is not known."""
    known = OwnProcess()
    known.rss_bytes()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    monkeypatch.setattr("estsim.fleet.usage._SOCKETS", (tmp_path / "sockstat",))
    monkeypatch.setattr("estsim.fleet.usage._DESCRIPTORS", tmp_path / "fd")
    assert memory_available_bytes() > MIB
    assert OwnProcess().rss_bytes() > MIB
    assert OwnProcess().cpu_percent() == 0.0
    assert known.rss_bytes() > MIB
    assert (ports_in_use(), descriptors_in_use()) == (0, 0)
