"""Under Locust: its master and its users on gevent, and ``estsim worker`` on trio, which loads neither of the two."""
