"""The parts of the dashboard: each shows what it is given and asks nothing of a cluster."""
