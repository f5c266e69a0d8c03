"""The processes of Locust, on gevent, in which users play devices."""
