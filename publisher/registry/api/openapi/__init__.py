"""The description of the registry's endpoints as an OpenAPI document."""
