"""Commands that fix a fault, tried on the objects in memory before they are offered."""
