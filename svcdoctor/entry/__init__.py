"""The ways into a cluster: Ingresses, Gateways, load balancers."""
