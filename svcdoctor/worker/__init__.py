"""The process that reads and judges the cluster while the dashboard's own process draws it."""
