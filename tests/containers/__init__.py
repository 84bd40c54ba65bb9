"""The image and the overlays, run with podman: make test-containers."""
