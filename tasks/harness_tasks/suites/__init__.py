"""Bundled suites, one YAML file each, found through the entry point group `harness.suites`."""
