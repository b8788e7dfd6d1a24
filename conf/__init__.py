"""Configuration files: the primary config, presets and experiments (package ``autodistill.conf``)."""
