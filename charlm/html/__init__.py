"""A model as one HTML file, which runs in any browser without a connection."""
