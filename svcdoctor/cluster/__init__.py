"""What talks to a cluster: reading, watching, probing, and the little that may be added to it."""
