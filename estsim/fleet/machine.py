"""The machine that a run was played on, for its record: figures of a generator mean little without it."""

import os
import platform
from pathlib import Path
from typing import Final

from estsim.net.openssl import openssl_version

_CPUS: Final = Path("/proc/cpuinfo")
_MODEL_KEYS: Final = ("model name", "Model", "cpu model", "Processor")  # x86, Arm boards, MIPS, older Arm


def machine_facts() -> dict[str, str]:
    """Return CPU, cores, operating system, Python and OpenSSL of this machine, as words."""
    usable = len(os.sched_getaffinity(0))
    cores = os.cpu_count() or usable
    return {
        "cpu": _cpu_model() or platform.machine(),
        "cores": str(cores) if usable == cores else f"{usable} of {cores}",
        "os": f"{_distribution()}, kernel {platform.release()} ({platform.machine()})",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "openssl": openssl_version(),
    }


def _cpu_model() -> str:
    try:
        lines = _CPUS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    named: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        named.setdefault(key.strip(), value.strip())
    return next((named[key] for key in _MODEL_KEYS if named.get(key)), "")


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()
