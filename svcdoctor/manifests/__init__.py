"""Manifests that are not applied yet, read and judged as if they were."""
