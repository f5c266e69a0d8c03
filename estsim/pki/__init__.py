"""Keys, names and certificates of our own, for the sandbox and for devices: CAs, manufacturers, credentials."""
