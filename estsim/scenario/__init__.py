"""YAML to frozen configuration: the model, and the loader that knows every key's line and column."""
