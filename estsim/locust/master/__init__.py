"""The process that leads a run under Locust, on gevent: the master, or the one process of a local run."""
