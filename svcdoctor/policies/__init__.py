"""Who may connect to whom: NetworkPolicies, administrators' policies, meshes."""
