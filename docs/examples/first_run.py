"""Run 50 devices of the quickstart against the sandbox, and fail where the run did: a test of a server in ten lines.

python docs/examples/first_run.py [results folder]
"""

import sys

import estsim

scenario = estsim.load_scenario(
    "quickstart",
    devices=50,
    duration="15s",
    settings={"cohorts.meters.boot.burst": "2s", "generator.max_lag": "1s"},
)
finished = estsim.run(scenario, results=sys.argv[1] if len(sys.argv) > 1 else "results")
deferral = finished.summary.deferral
print(f"{finished.verdict}: {finished.summary.certificates.verified} certificates, see {finished.folder}")
print(f"{deferral.exchanges_per_certificate} exchanges per certificate")
sys.exit(finished.exit_code)
