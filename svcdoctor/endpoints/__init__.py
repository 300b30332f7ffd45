"""EndpointSlices: what a controller would make of a Service, and what others write."""
