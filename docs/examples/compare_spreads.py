"""How much does a spread of the devices' waits help a server that forgets what it defers? In virtual time, in seconds.

python docs/examples/compare_spreads.py
"""

import estsim

for spread in ("0%..0%", "0%..50%", "0%..100%"):
    scenario = estsim.load_scenario("deferral-herd", devices=300, settings={"cohorts.meters.deferral.spread": spread})
    predicted = estsim.forecast(scenario)
    print(f"spread {spread:9} {predicted.load.exchanges:6} exchanges, over after {predicted.ended_s:.0f} s")
