"""HTTP: routes, problems, schemas."""
