"""Who calls a Service, by which name, and what a client sees from where it stands."""
