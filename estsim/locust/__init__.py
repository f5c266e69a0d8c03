"""For Locust's own processes, on gevent. Empty so far; nothing outside this room imports locust or gevent."""
