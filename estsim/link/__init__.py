"""The trio process as a worker of a Locust master. Empty so far: `estsim run` is one process."""
