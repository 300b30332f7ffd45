"""A doctor for Kubernetes Services: why does this Service not answer?"""

__version__ = "0.1.0"
