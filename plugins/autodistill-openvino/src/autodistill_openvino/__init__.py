"""OpenVINO as a latency backend of AutoDistill."""
