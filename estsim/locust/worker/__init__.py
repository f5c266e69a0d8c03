"""The trio process as a worker of a Locust master: no gevent and no locust in it."""
