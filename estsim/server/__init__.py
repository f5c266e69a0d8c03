"""The sandbox EST server: its configuration, CA, issuing policy, store and listener."""
