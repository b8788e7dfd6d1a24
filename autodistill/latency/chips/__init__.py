"""Data sheets of chips for the ``roofline`` backend, one YAML file each; see `autodistill.latency.chip`."""
