"""Our own keys, names and certificates, for the sandbox and for devices: CAs, manufacturers, credentials, PEM."""
